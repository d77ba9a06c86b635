"""The number of the schema that this program knows, which is its last migration's."""

HEAD = "0017"
