"""What is known of processes that ended in the middle of their work, and which versions may have ended them."""
