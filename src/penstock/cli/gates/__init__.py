"""Commands on gates, verdicts and the keys that sign them."""
