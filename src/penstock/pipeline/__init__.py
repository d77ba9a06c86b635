"""Stages, their lock and their order, in DVC's `dvc.yaml` and `dvc.lock` formats."""
