"""Inference over HTTP: the Open Inference Protocol, MLflow's scoring routes, and who may ask."""
