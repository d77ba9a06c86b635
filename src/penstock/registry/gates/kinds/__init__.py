"""Kinds of checks, one a file; each has a `GATE`."""
