"""Continuous integration of a repository."""
