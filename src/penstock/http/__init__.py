"""Requests in: Open Inference, Prometheus, pages. The only place that knows HTTP statuses."""
