"""Data of other repositories and behind URLs."""
