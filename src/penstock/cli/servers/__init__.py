"""Commands on the server, its users and its store."""
