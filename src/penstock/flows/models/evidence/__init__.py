"""What the checks of a gate ask: held-out rows, the models themselves, where a candidate came from."""
