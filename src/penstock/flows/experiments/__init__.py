"""Experiments: run, queue, show, compare, take over, keep and share them, as refs that DVC reads too."""
