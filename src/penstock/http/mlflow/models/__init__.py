"""Registered models, versions and webhooks on MLflow's wire."""
