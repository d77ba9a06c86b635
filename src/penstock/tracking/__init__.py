"""Experiments, runs, parameters and metrics."""
