"""What runs and models have in common: names and limits, signatures, the filter grammar."""
