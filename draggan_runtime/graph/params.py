"""Checking a node's parameters, and saying what would fit."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import NodeDraft
from draggan_runtime.graph.schema import brief
from draggan_runtime.node import Node, NodeParams
from draggan_runtime.registry import close_matches


def settle(draft: NodeDraft, cls: type[Node]) -> list[str]:
    """Check the draft's parameters; set those aside that an implementation now replaced was given, and note each.

    Raises UserError at the line of the first that does not fit.
    """
    notes = []
    for name, given in list(draft.params.items()):
        if name in cls.Params.model_fields:
            continue
        if given.origin.layer < draft.impl_origin.layer:
            draft.spare[name] = draft.params.pop(name).value
            notes.append(f"{draft.id}.{name} is left out: {draft.impl} does not have it")
        else:
            raise UserError(f"{draft.at(given.origin)}: {unknown(name, draft.impl, cls)}")
    values = {name: given.value for name, given in draft.params.items()}
    try:
        validated(cls, values)
    except ParamError as error:
        known = draft.params.get(error.name)
        origin = known.origin if known else draft.impl_origin if not error.name else draft.origin
        raise UserError(f"{draft.at(origin)}: {error.text(draft.impl)}") from error
    return notes


class ParamError(Exception):
    """A parameter does not fit; ``name`` is "" where it is their combination."""

    def __init__(self, name: str, problem: str, fits: str = "") -> None:
        super().__init__(problem)
        self.name, self.problem, self.fits = name, problem, fits

    def text(self, impl: str) -> str:
        """The error as the end of a line."""
        which = f"'{self.name}' of {impl}" if self.name else f"parameters of {impl}:"
        return f"{which} {self.problem}" + (f"; it is {self.fits}" if self.fits else "")


def validated(cls: type[Node], values: Mapping[str, Any]) -> NodeParams:
    """A node's parameters from plain values. Raises ParamError for the first that does not fit."""
    for name, value in values.items():
        field = cls.Params.model_fields.get(name)
        if field and isinstance(value, bool) and _numbers_only(field):
            raise ParamError(name, f"should be a number, not {str(value).lower()}", describe(field))
    try:
        return cls.Params(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0]) if problem["loc"] else ""
        field = cls.Params.model_fields.get(name)
        text = "is required" if problem["type"] == "missing" else brief(problem)
        raise ParamError(name, text, describe(field) if field else "") from error


def unknown(name: str, impl: str, cls: type[Node]) -> str:
    """The end of an error about a parameter that ``cls`` does not have."""
    fields = cls.Params.model_fields
    return f"'{name}' is not a parameter of {impl}" + (close_matches(name, fields) if fields else "; it has none")


def describe(field: FieldInfo) -> str:
    """A parameter's type, range and default in words: ``float, > 0, default 12.0``."""
    parts = [type_name(field.annotation), *_bounds(field)]
    if not field.is_required():
        parts.append(f"default {field.get_default(call_default_factory=True)}")
    return ", ".join(parts)


def type_name(annotation: Any) -> str:
    """A type as a reader of YAML would say it."""
    if annotation in (None, NoneType):
        return "null"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin is typing.Literal:
        return " or ".join(str(a) for a in arguments)
    if origin in (typing.Union, UnionType):
        return " or ".join(type_name(a) for a in arguments)
    if origin is not None and arguments:
        inner = ", ".join("..." if a is Ellipsis else type_name(a) for a in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return getattr(annotation, "__name__", str(annotation))


def _bounds(field: FieldInfo) -> list[str]:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of", "pattern": "like"}
    found = []
    for item in field.metadata:
        for name, sign in signs.items():
            value = getattr(item, name, None)
            if value is not None:
                found.append(f"{sign} {value}")
    return found


def _numbers_only(field: FieldInfo) -> bool:
    members = set(typing.get_args(field.annotation)) or {field.annotation}
    return members <= {int, float, NoneType}
