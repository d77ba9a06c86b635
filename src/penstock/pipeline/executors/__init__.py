"""Who runs the commands of stages: here, or on a cluster. The contract is `role`, the names are `catalogue`."""
