"""Arguments in, text or JSON out. The only place that knows exit codes and terminals."""
