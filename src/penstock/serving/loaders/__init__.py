"""Model loaders, one flavour a file."""
