"""Every verb that needs two parts."""
