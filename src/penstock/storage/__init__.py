"""Bytes at keys: local directories and object stores behind one contract. Knows neither trees nor DVC."""
