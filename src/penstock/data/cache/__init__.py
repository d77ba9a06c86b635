"""The cache: objects hashed, placed, verified, collected and sent."""
