"""Objects in S3, Google Cloud Storage, Azure Blob and on web servers."""
