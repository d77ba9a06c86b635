"""Commands on endpoints, their models' servers and live traffic."""
