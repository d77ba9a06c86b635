"""Checks of how a model answers when it is served, one kind a file."""
