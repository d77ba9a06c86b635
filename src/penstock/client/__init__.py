"""The Python client: `penstock.start_run()` and what logs to a run, embedded or against a server."""
