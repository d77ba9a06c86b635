"""Writers of model folders, one library a file."""
