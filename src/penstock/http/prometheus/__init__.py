"""What is told to Prometheus: traffic by those who answer it, judgement by who judges, workers by their supervisor."""
