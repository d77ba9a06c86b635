"""Runs as files for other programs: documents and tables."""
