"""Charts as coordinates: axes, windows over time, curves of metrics, drift by feature. Pure."""
