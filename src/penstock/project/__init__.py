"""The composition root: one root with its settings and the parts it works on."""
