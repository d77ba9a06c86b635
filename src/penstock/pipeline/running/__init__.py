"""How stages are run: what they ask for, what a reproduction is told, whose turn it is, what their commands import."""
