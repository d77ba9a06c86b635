"""The store: the database, its schema, its writer and the audit events."""
