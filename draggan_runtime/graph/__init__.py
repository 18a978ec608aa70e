"""Graph, config and launch files: read, checked before anything starts, and resolved into plain data."""

from draggan_runtime.graph.load import load_launch

__all__ = ["load_launch"]
