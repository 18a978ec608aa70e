"""Trying a cluster hard: processes killed in mid-drag, hours of random edits, more sessions than there is room for."""
