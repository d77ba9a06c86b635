"""Experiments, runs, metrics and logged models on MLflow's wire."""
