"""DVC's configuration files."""
