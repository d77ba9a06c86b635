"""Models judged, registered, named, loaded and removed."""
