"""The command line: ``draggan``."""

from __future__ import annotations

from draggan_runtime.cli.main import main

__all__ = ["main"]
