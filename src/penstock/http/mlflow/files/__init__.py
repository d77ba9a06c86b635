"""MLflow's artifact proxy."""
