"""Ways to damage a file: bytes anywhere, opcodes of a pickle, parts of an archive that stays whole."""

from __future__ import annotations

import gzip
import io
import pickletools
import random
import zipfile
from collections.abc import Sequence

#: What no file may get run, as opcodes that push its result; and opcodes that reach into what they find.
_HOSTILE = (
    b"cos\nsystem\n(S'true'\ntR",
    b'cbuiltins\neval\n(S\'open("canary", "w")\'\ntR',
    b"cbuiltins\ngetattr\n",
    b"cnumpy\nload\n",
    b"ctorch\nload\n",
    b"(ios\nsystem\n",
    b"\x82\x01",
    b"\x97",
    b"\x8bc\xff\xff\xff\x7f",
    b"}b",
    b"\x81",
    b"2(t0",
    b"]2a",
    b"(((((((((((((((((((((((tttttttt",
)
_NUMBERS = tuple(value.to_bytes(4, "little") for value in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000))


def mutate(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """``data`` damaged in one to four places; of an archive often a part, with the rest in order."""
    if data[:2] == b"PK" and chance.random() < 0.7:
        return _in_archive(data, others, chance)
    if data[:2] == b"\x1f\x8b" and chance.random() < 0.7:
        return gzip.compress(mutate(gzip.decompress(data), others, chance), 1)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        change = _opcodes if chance.random() < 0.5 else _bytes
        data = change(data, others, chance)
    return data


def _bytes(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    end = min(end, start + chance.choice((1, 4, 64)))
    part = data[start:end]
    other = chance.choice(others)
    match chance.choice((0, 0, 0, 1, 2, 3, 4, 5, 6)):
        case 0:
            return data[:start] + bytes((chance.randrange(256),)) + data[start + 1 :]
        case 1:
            part += chance.randbytes(chance.randint(1, 8))
        case 2:
            part = b""
        case 3:
            part = part * chance.choice((2, 3, 100))
        case 4:
            part = other[chance.randrange(len(other)) :][: chance.choice((8, 64, 1000))]
        case 5:
            return data[:start]
        case _:
            return data[:start] + chance.choice(_NUMBERS) + data[start + 4 :]
    return data[:start] + part + data[end:]


def _opcodes(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    places = _places(data)
    if len(places) < 3:
        return _bytes(data, others, chance)
    start, end = sorted(chance.sample(range(len(places)), 2))
    at, to = places[start], places[min(end, start + chance.choice((1, 3, 30)))]
    match chance.randrange(5):
        case 0:
            return data[:at] + chance.choice(_HOSTILE) + data[at:]
        case 1:
            return data[:to] + data[at:to] * chance.choice((1, 2, 200)) + data[to:]
        case 2:
            return data[:at] + data[to:]
        case 3:
            return data[:at] + bytes((chance.choice(_CODES),)) + data[at + 1 :]
        case _:
            other = chance.choice(others)
            ends = _places(other) or [0]
            first, last = sorted((chance.choice(ends), chance.choice(ends)))
            return data[:at] + other[first:last] + data[at:]


def _places(data: bytes) -> list[int]:
    """Where the opcodes of the pickle begin that ``data`` begins with."""
    places = []
    try:
        for _, _, at in pickletools.genops(data):
            places.append(at or 0)
    except Exception:  # noqa: S110 - what was damaged before ends there
        pass
    return places


def _in_archive(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w") as after:
        names = before.namelist()
        pickled = [name for name in names if name.endswith(".pkl")]
        hit = chance.choice(pickled if pickled and chance.random() < 0.8 else names)
        for name in names:
            part = before.read(name)
            after.writestr(name, mutate(part, others, chance) if name == hit and part else part)
    return out.getvalue()


_CODES = [ord(op.code) for op in pickletools.opcodes]
