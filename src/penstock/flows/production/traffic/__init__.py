"""Who gets the traffic of an endpoint: a canary its next share or all of it, or what was served before."""
