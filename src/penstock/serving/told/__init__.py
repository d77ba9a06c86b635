"""What services of the user's own tell: batches of calls, their values as columns, and what they are told in turn."""
