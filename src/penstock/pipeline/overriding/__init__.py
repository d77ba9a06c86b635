"""Parameters set for one run (`-S`): reading what was asked for, its combinations, and writing it into files."""
