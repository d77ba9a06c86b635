"""Commands on models and their documents."""
