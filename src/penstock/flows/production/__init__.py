"""Endpoints deployed, watched and acted on."""
