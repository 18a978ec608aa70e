"""The allow-list: all that a file may name, and what stands for it. Nothing is ever imported."""

from __future__ import annotations

import re
from typing import Any

from draggan_runtime.inert import numpy_names, plain_names, torch_names
from draggan_runtime.inert.limits import Refused, shown
from draggan_runtime.inert.pieces import Function, Kind, Load
from draggan_runtime.inert.record import Record

_FUNCTIONS = plain_names.FUNCTIONS | numpy_names.FUNCTIONS | torch_names.FUNCTIONS
#: Classes that stand for themselves, as an argument.
_KINDS = plain_names.KINDS | numpy_names.KINDS | torch_names.KINDS
#: Classes whose objects become records: torch's layers, and the networks of NVIDIA's three code bases, of rosinality's
#: and of those that copied it.
_RECORDS = re.compile(r"(torch\.nn|torch_utils|dnnlib|training|models\.stylegan2|model|op)(\.[A-Za-z_]\w*)*", re.ASCII)
_EASY_DICTS = {("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict")}
LONGEST_NAME = 300
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def find(module: str, name: str) -> Function | Kind | Record:
    """What stands for ``module.name``. Raises Refused, with that name, unless it is in the allow-list."""
    if len(module) + len(name) > LONGEST_NAME:
        raise Refused(f"asks for something of a name too long: {shown(f'{module}.{name}')}")
    module = _RENAMED.get(module, module)
    where = module.replace("numpy.core.", "numpy._core."), name
    if where in _FUNCTIONS:
        return Function(shown(f"{module}.{name}"), _FUNCTIONS[where])
    if where in torch_names.DTYPES:
        return Record(*where)
    if where in _KINDS or _is_record(*where):
        return Kind(*where)
    raise Refused(
        f"asks for {shown(f'{module}.{name}')}, which weights and latents do not need and which was not run",
        "if you trust its source, save its weights anew as a state dict",
    )


def make(kind: Kind, args: tuple[Any, ...]) -> Record | dict[Any, Any]:
    """An object of ``kind`` before it has its state."""
    if (kind.module, kind.name) in _EASY_DICTS and not args:
        return {}
    if not _is_record(kind.module, kind.name):
        raise Refused(f"makes a {kind}, which this reader does not make")
    return Record(kind.module, kind.name, args, source=kind.source)


def _is_record(module: str, name: str) -> bool:
    known = _RECORDS.fullmatch(module) or (module, name) == ("argparse", "Namespace")
    return bool(known and name.isascii() and name.isidentifier())


def _reconstructor(load: Load, kind: Kind, base: Kind, state: Any) -> Record | dict[Any, Any]:
    """``copyreg._reconstructor``: an object of ``kind`` that starts as a copy of ``state``, of the class ``base``."""
    if type(kind) is not Kind or type(base) is not Kind:
        raise Refused("is damaged: an object has no class", "get it anew")
    made = make(kind, ())
    if base.name == "dict" and type(made) is dict and type(state) is dict:
        made.update(plain_names.items(load, state))
    elif base.name != "object" or state is not None:
        raise Refused(f"makes a {kind} out of a {base}")
    return made


_FUNCTIONS["copyreg", "_reconstructor"] = _reconstructor
