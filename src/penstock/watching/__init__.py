"""A user's own inference function watched: calls recorded, kept on disk, delivered; which version is wanted."""
