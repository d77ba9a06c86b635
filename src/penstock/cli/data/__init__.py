"""Commands on tracked data and their sources."""
