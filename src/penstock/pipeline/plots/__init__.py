"""Plots that `dvc.yaml` declares: what is drawn, from which data, by which template."""
