"""A model over whole tables: read in parts, scored, written with prediction ids, recorded as windows, resumed."""
