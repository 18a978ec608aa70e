"""YAML with the line of every key: the safe core of YAML 1.2, no tags, no aliases, no duplicate keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from draggan_runtime.errors import UserError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """A YAML file as read: its ``data`` and, by key path, the line (from 1) where each entry begins."""

    path: Path
    data: Any
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def where(self, key: Sequence[str | int] = ()) -> str:
        """``file:line`` of an entry, or of the nearest one that encloses it."""
        key = tuple(key)
        while key and key not in self.lines:
            key = key[:-1]
        return f"{shown(self.path)}:{self.lines.get(key, 1)}"


def shown(path: Path) -> str:
    """A path as a person would type it: relative where it lies in the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def read(path: Path) -> Source:
    """Read a file. Raises UserError with file and line if it is unreadable or no plain YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error
    lines: dict[KeyPath, int] = {}
    try:
        tree = yaml.compose(text, _Loader)
        data = _here(_plain(tree, (), lines), path.resolve().parent) if tree is not None else None
    except _RefusedError as error:
        raise UserError(f"{shown(path)}:{error.line}: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{shown(path)}:{mark.line + 1 if mark else 1}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{shown(path)}:1: not YAML: {' '.join(str(error).split())}") from error
    return Source(path, data, lines)


def scalar(text: str) -> Any:
    """The value of ``text`` as YAML would read it in a file; text that is no YAML stands for itself."""
    try:
        tree = yaml.compose(text, _Loader)
        return None if tree is None else _plain(tree, (), {})
    except (yaml.YAMLError, _RefusedError, RecursionError):
        return text


def _here(value: Any, folder: Path) -> Any:
    """``$(dirname)`` in any text is the file's own folder, as in a ROS 2 launch file."""
    if isinstance(value, str):
        return value.replace("$(dirname)", str(folder))
    if isinstance(value, list):
        return [_here(item, folder) for item in value]
    if isinstance(value, dict):
        return {key: _here(item, folder) for key, item in value.items()}
    return value


class _RefusedError(Exception):
    def __init__(self, message: str, node: Any) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as YAML 1.2 does: 3e-3 is a number, ``on`` a word, 12:30 no number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _RefusedError("aliases (*name) are not supported", self.peek_event())  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), [*_first, ""])


def _plain(node: Any, key: KeyPath, lines: dict[KeyPath, int]) -> Any:
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else None
            if name is None:
                raise _RefusedError("a key must be a plain word", name_node)
            if name in result:
                raise _RefusedError(f"duplicate key '{name}' (first in line {lines[*key, name]})", name_node)
            lines[*key, name] = name_node.start_mark.line + 1
            result[name] = _plain(value_node, (*key, name), lines)
        return result
    if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
        return [_plain(item, (*key, i), lines) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    raise _RefusedError(f"tag {node.tag} is not supported", node)


def _scalar(node: yaml.ScalarNode) -> Any:
    kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            case "float":
                return float(text.replace(".inf", "inf").replace(".nan", "nan") if text[-1] in "fFnN" else text)
            case "str":
                return text
    except ValueError:
        pass
    raise _RefusedError(f"'{text}' with tag {node.tag} is not supported", node)
