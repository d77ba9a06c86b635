"""Tracked data between working tree, cache and remotes."""
