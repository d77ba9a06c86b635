"""Errors, digests, files, git, database and settings: what every layer stands on, knowing none of them."""
