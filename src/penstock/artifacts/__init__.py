"""The files of runs, logged models and versions under the paths clients know."""
