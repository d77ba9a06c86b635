"""Predictions, their ids and the labels that belong to them."""
