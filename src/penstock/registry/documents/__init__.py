"""What is said of a model version to the outside: provenance, bill of materials, model card, signature."""
