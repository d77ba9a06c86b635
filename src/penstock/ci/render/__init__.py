"""Renderers of neutral jobs, one CI system a file."""
