"""Reads the constants of a network in OpenVINO IR, version 10: an xml of layers beside a bin of values."""

from __future__ import annotations

import math
from typing import Any, NoReturn
from xml.parsers import expat

import numpy as np

_DTYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "i64": np.dtype("<i8"), "i32": np.dtype("<i4")}


def read_constants(xml: bytes, data: bytes) -> dict[str, np.ndarray]:
    """All ``Const`` layers by name, in the file's (topological) order, with the shapes the xml declares.

    Raises ValueError if the xml is not well formed, declares a document type (no entity is ever expanded),
    repeats a name, or points outside ``data``.
    """
    constants: dict[str, np.ndarray] = {}
    layer = ""

    def refuse(*_: object) -> NoReturn:
        raise ValueError("xml with a document type declaration")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal layer
        if tag == "layer":
            layer = attributes["name"] if attributes.get("type") == "Const" else ""
        elif tag == "data" and layer:
            if layer in constants:
                raise ValueError(f"constant '{layer}' appears twice")
            constants[layer] = _constant(layer, attributes, data)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise ValueError(f"not an xml: {error}") from error
    return constants


def _constant(name: str, attributes: dict[str, str], data: bytes) -> np.ndarray:
    try:
        dtype = _DTYPES[attributes["element_type"]]
        shape = tuple(int(n) for n in attributes["shape"].split(",") if n.strip())
        offset, size = int(attributes["offset"]), int(attributes["size"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"constant '{name}' is described in a way that is not understood: {error}") from error
    if size != math.prod(shape) * dtype.itemsize or offset < 0 or offset + size > len(data):
        raise ValueError(f"constant '{name}' does not lie within the data")
    return np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
