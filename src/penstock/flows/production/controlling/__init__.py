"""The controller: decide about endpoints, carry it out, tell."""
