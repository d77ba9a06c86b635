"""The store copied, purged, and filled from MLflow's."""
