"""Graph, config and launch files: read, checked before anything starts, and resolved into plain data."""
