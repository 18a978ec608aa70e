"""Networks that look at pictures and know nothing of the generator: they judge edits, and find faces in photos."""
