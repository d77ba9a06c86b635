"""Pure mathematics: sketches, distances, significance. No clock, no disk, no log, no global randomness."""
