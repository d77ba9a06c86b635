"""Neutral CI jobs, their renderers and the report."""
