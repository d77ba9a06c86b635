"""Commands on experiments: `exp`."""
