"""DVC's formats: trees, outputs, merges, YAML as DVC writes it."""
