"""Processes that run for long: what they start, watch and end."""
