"""Rows of an endpoint as the store keeps them, live and labelled, for what is judged on whole rows."""
