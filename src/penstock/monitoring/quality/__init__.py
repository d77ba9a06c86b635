"""How right predictions were, from the labels that came later."""
