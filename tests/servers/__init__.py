"""Real servers on loopback for tests: each starts on free ports and is stopped by its own process ids."""
