"""Quality without labels: from probabilities that are calibrated, and by a model of a regression's loss."""
