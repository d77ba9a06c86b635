"""The chain walked and brought back."""
