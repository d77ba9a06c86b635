"""Tensors, model loading, traffic and the data plane. Knows no transport."""
