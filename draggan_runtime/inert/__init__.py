"""Files of weights and latents read as data: nothing that a file names is ever imported or called."""

from __future__ import annotations

from draggan_runtime.inert.limits import Limits
from draggan_runtime.inert.reader import parse, read
from draggan_runtime.inert.record import Record

__all__ = ["Limits", "Record", "parse", "read"]
