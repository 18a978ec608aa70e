"""What is compared: a row of a table is a named set of overrides, laid over the preset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from draggan_runtime.errors import UserError
from draggan_runtime.registry import close_matches

#: What methods differ in: how a picture is edited, or how a photo's latent is looked for.
Kind = Literal["edits", "inversions"]

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Method:
    """A row: ``overrides`` as ``--set`` takes them. ``edits`` False: the picture is left as it is.

    ``one_shot``: a learned map answers instead of a drag, so there is no tracker. ``needs``: what ``draggan train``
    must have made of the model, "" for nothing.
    """

    name: str
    overrides: tuple[str, ...] = ()
    edits: bool = True
    one_shot: bool = False
    needs: str = ""


@cache
def of_kind(kind: Kind) -> dict[str, Method]:
    """The methods of one kind that come with the program, by name."""
    rows: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "methods.yaml").read_text())[kind]
    return {name: _known(name, said) for name, said in rows.items()}


def known() -> dict[str, Method]:
    """All methods that come with the program, by name."""
    return of_kind("edits") | of_kind("inversions")


def _known(name: str, said: Any) -> Method:
    if said is None:
        return Method(name, edits=False)
    if said == "one-shot":
        return Method(name, one_shot=True)
    if isinstance(said, dict):
        return Method(name, tuple(said["overrides"]), needs=said["needs"])
    return Method(name, tuple(said))


def parse(texts: Sequence[str]) -> list[Method]:
    """Methods as the command line names them: a known name, or ``name:node.param=value,node.param=value``.

    Raises UserError for a name that is not known, not a name, or given twice.
    """
    methods = [_method(text) for text in texts]
    names = [method.name for method in methods]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"--method {twice} is given twice; give each row a name of its own")
    return methods


def _method(text: str) -> Method:
    name, colon, rest = text.partition(":")
    if not colon:
        if name not in known():
            raise UserError(
                f"--method {text}: no method of this name{close_matches(name, known())}; "
                f"or write name:node.param=value,node.param=value"
            )
        return known()[name]
    if not _NAME.fullmatch(name):
        raise UserError(f"--method {text}: '{name}' is no name; use letters, digits, '.', '-' and '_'")
    if name in known():
        raise UserError(f"--method {text}: '{name}' is a method already; choose another name")
    # A comma ends an override only where the next one begins.
    overrides = re.split(r",(?=[\w-]+\.[\w.-]+=)", rest)
    if not all("=" in override for override in overrides):
        raise UserError(f"--method {text}: write name:node.param=value,node.param=value")
    return Method(name, tuple(override.strip() for override in overrides))
