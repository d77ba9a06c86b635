"""Reports: what changed between two tables, or at an endpoint, as one file for people elsewhere."""
