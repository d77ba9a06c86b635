"""Pointers: where they are, read strictly, written byte for byte as DVC does."""
