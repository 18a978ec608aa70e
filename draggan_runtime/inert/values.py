"""Opcodes that push a value: numbers, text, bytes, empty containers."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from draggan_runtime.inert.cursor import Cursor
from draggan_runtime.inert.limits import Refused

_MOST_DIGITS = 300
#: All that Python 2 writes of them in the print of a string.
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[\\'\"nrt])")
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _digits(cursor: Cursor) -> bytes:
    return cursor.line("number", _MOST_DIGITS)


def _int(cursor: Cursor) -> int | bool:
    line = _digits(cursor)
    return line == b"01" if line in (b"00", b"01") else int(line)


def _long(cursor: Cursor, size: int) -> int:
    count = cursor.number(size)
    if count > _MOST_DIGITS:
        raise Refused(f"holds a number of {count} bytes")
    return cursor.number(count, signed=True)


def _string(cursor: Cursor) -> str:
    line = cursor.line().strip()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise Refused("holds a text without quotes", "get it anew")
    cursor.budget.memory(2 * len(line))
    return _ESCAPE.sub(_unescape, line[1:-1]).decode("latin1")


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes((int(code[1:], 16),)) if code[:1] == b"x" else _ESCAPED.get(code, code)


def _unicode(cursor: Cursor) -> str:
    line = cursor.line()
    cursor.budget.memory(8 * len(line))
    text = str(line, "raw-unicode-escape")
    text.encode()  # halves of surrogates are no text
    return text


#: By name of the opcode (PEP 3154 and those before it), what it pushes. Byte strings of Python 2 are text of Latin 1,
#: as in ``pickle.load(encoding="latin1")``, the only way in which arrays pickled there can be read.
VALUES: dict[str, Callable[[Cursor], Any]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "INT": _int,
    "LONG": lambda cursor: int(_digits(cursor).removesuffix(b"L")),
    "BININT": lambda cursor: cursor.number(4, signed=True),
    "BININT1": lambda cursor: cursor.byte(),
    "BININT2": lambda cursor: cursor.number(2),
    "LONG1": lambda cursor: _long(cursor, 1),
    "LONG4": lambda cursor: _long(cursor, 4),
    "FLOAT": lambda cursor: float(_digits(cursor)),
    "BINFLOAT": lambda cursor: struct.unpack(">d", cursor.take(8))[0],
    "STRING": _string,
    "BINSTRING": lambda cursor: cursor.text(4, "latin1"),
    "SHORT_BINSTRING": lambda cursor: cursor.text(1, "latin1"),
    "UNICODE": _unicode,
    "SHORT_BINUNICODE": lambda cursor: cursor.text(1),
    "BINUNICODE": lambda cursor: cursor.text(4),
    "BINUNICODE8": lambda cursor: cursor.text(8),
    "SHORT_BINBYTES": lambda cursor: cursor.blob(1),
    "BINBYTES": lambda cursor: cursor.blob(4),
    "BINBYTES8": lambda cursor: cursor.blob(8),
    "BYTEARRAY8": lambda cursor: cursor.blob(8),
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_SET": lambda _: set(),
}
