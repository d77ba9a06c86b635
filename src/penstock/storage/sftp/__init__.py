"""Objects on a server that speaks SFTP."""
