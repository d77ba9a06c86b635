"""The Open Inference Protocol over gRPC: a thin translator in front of the data plane. Needs the extra `grpc`."""
