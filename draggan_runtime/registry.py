"""Finding node classes: registered names, ``module:Class``, ``path/file.py:Class``."""

from __future__ import annotations

from dataclasses import dataclass

from draggan_runtime.node import Node


@dataclass(frozen=True)
class ImplRef:
    """A node class as plain data, which any process can load.

    ``name``: as the user wrote it. ``target``: ``module:Class`` or ``/absolute/file.py:Class``. ``search_path``: absolute
    folders to look for modules in, besides sys.path.
    """

    name: str
    target: str
    search_path: tuple[str, ...] = ()

    def load(self) -> type[Node]:
        """The class. Raises UserError if it cannot be imported or is no node."""
        raise NotImplementedError
