"""Pipelines run, compared, listed and edited."""
