"""What is asked for details of runs, experiments, models and endpoints: the contract, and its two places."""
