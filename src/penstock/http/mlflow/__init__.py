"""MLflow's REST API over the product's own store."""
