"""The demo: the whole story on the real flights of 2013, from data to a rolled-back model and back."""
