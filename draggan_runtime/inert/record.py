"""What stands in a result for an object of a class: its name and its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """An object of the class ``module.name``, of which nothing was imported or called.

    ``args`` went to its constructor, ``state`` is what it was to restore itself from, mostly a dict of attributes.
    ``source`` is the text of the module that defines the class, if the file carries it (then ``module`` may be ""):
    text, that nothing here runs. Torch's dtypes and devices are records too: ``torch.float16``, ``torch.device``.
    """

    module: str
    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    source: str | None = None
