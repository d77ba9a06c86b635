"""Registered models, versions, aliases, gates and verdicts."""
