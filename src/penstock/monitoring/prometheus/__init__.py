"""Prometheus rules from policies: what is recorded, what is alerted on, and promtool's tests of both."""
