"""What of a commit is compared with what is live, to hold its release."""
