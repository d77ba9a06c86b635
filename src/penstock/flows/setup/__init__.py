"""First steps: settings proposed for a repository, and what it still lacks."""
