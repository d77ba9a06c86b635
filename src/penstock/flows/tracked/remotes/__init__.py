"""Tracked data between the cache and remotes."""
