"""Files of the working tree: walked, opened, remembered, kept."""
