"""What data need of git: facts, ignored paths, hooks."""
