"""A file's name as it is typed, letter by letter, with names completed as a shell does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Prompt:
    """``text`` as typed so far, ``choices``: names that it could become, after a completion that had several."""

    text: str = ""
    choices: tuple[str, ...] = ()

    def type(self, letter: str) -> None:
        """One more letter."""
        self.text, self.choices = self.text + letter, ()

    def erase(self) -> None:
        """The last letter goes."""
        self.text, self.choices = self.text[:-1], ()

    def clear(self) -> None:
        """All letters go."""
        self.text, self.choices = "", ()

    def complete(self) -> None:
        """As far as the names in the folder agree; a folder's gets its slash.

        Hidden files count only for a name that begins with a dot, other letters' case where nothing fits exactly.
        """
        if self.text == "~":
            self.text = "~/"
        folder, name = os.path.split(self.text)
        fitting = _fitting(_names(expanded(folder) if folder else Path()), name)
        common = os.path.commonprefix(fitting)  # noqa: RUF071 - letter by letter
        if len(common) >= len(name) and fitting:
            self.text = self.text[: len(self.text) - len(name)] + common
        if len(fitting) == 1 and expanded(self.text).is_dir():
            self.text += "/"
        self.choices = tuple(fitting) if len(fitting) > 1 else ()

    @property
    def path(self) -> Path | None:
        """The file that is meant; None if nothing is typed."""
        return expanded(self.text.strip()) if self.text.strip() else None


def expanded(text: str) -> Path:
    """The path with ~ as the user's home; as it is, where nobody knows that."""
    return Path(os.path.expanduser(text))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _fitting(names: list[str], begun: str) -> list[str]:
    names = [name for name in names if begun.startswith(".") or not name.startswith(".")]
    exact = [name for name in names if name.startswith(begun)]
    return exact or [name for name in names if name.lower().startswith(begun.lower())]
