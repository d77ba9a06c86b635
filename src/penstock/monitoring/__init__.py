"""Profiles, windows, drift, quality and guardrails."""
