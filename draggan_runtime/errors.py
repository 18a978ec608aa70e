"""Errors a person reads: one line that says what, where, and what to do."""

from __future__ import annotations


class DragganError(Exception):
    """Base of every error this project raises on purpose; ``str(error)`` is the one line shown to the user."""

    exit_code = 1


class UserError(DragganError):
    """What the user gave cannot be used (exit code 2): bad points, files, YAML, parameters."""

    exit_code = 2


class StartError(DragganError):
    """A node could not be configured or activated, so the graph did not start. Names the node id."""


class WireError(UserError):
    """Bytes that are not a message of ours: truncated, unknown, or of another version."""
