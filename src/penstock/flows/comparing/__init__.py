"""Two results beside each other: runs, versions or revisions; what differs, and what the difference is made of."""
