"""The engine behind every transport: queues, fair shares, batches and deadlines of predictions."""
