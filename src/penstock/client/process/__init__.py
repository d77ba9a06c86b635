"""The process that records runs: its signals, its forks and its end."""
