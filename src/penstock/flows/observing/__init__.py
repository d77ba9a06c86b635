"""What production knows, for other programs and for people elsewhere: Prometheus rules, dashboards, reports."""
