"""What is done with tracked data: added, checked out, moved, compared."""
