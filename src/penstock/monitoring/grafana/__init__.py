"""Grafana dashboards of what Prometheus scrapes from us: what is on them, and the files that Grafana reads."""
