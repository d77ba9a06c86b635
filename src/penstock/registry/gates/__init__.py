"""Gate checks, one family a file."""
