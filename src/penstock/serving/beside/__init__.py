"""Versions beside those that answer by a revision: shadows, and those asked for by number; loads on demand."""
