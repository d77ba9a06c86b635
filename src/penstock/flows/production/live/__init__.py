"""Live traffic into the store: what a serve process saw, in windows, with its labels."""
