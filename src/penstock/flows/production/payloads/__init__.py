"""Samples of what endpoints were asked and answered, as Parquet segments: written, merged, forgotten, read."""
