"""Whatever stands in place of a part of a checkpoint, it is a network, or refused in a line."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draggan_nodes.generation import converted, w_statistics
from draggan_nodes.generation.checkpoints import understand
from draggan_nodes.generation.sample_files import sample_files

from draggan_runtime.errors import UserError
from draggan_runtime.inert import Record, parse

FILES = [parse(data, "sample") for data in sample_files() if data[8:9] != b"{"]
NONSENSE = [
    None, True, -1, 10**300, 1e300, float("nan"), 1j, "", "\x1b[31m" * 1000, b"x", set(), [], [1], {}, {"a": 1}, {1: 2},
    np.zeros(()), np.zeros(0), np.zeros((0, 3)), np.zeros((2,) * 5), np.zeros((3, 4), complex), np.full((4, 2), np.inf),
    np.broadcast_to(np.uint8(0), (1 << 16, 1 << 14)), Record("a", "\n"), Record("a", "b", state={"_modules": {}}),
    Record("a", "b", state={"variables": []}),
]  # fmt: skip
Place = tuple[Any, ...]


def parts(value: Any, path: Place = ()) -> Iterator[Place]:
    """Where the parts of a checkpoint lie."""
    yield path
    inner = value.state if isinstance(value, Record) else value
    pairs = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list | tuple) else ()
    for name, part in pairs:
        yield from parts(part, (*path, name))


def changed(value: Any, path: Place, part: Any) -> Any:
    """``value`` with another ``part`` there."""
    if not path:
        return part
    if isinstance(value, Record):
        return Record(value.module, value.name, value.args, changed(value.state, path, part), value.source)
    out = dict(value) if isinstance(value, dict) else list(value)
    out[path[0]] = changed(out[path[0]], path[1:], part)
    return tuple(out) if isinstance(value, tuple) else out


@pytest.mark.parametrize("number", range(len(FILES)))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_nonsense_anywhere_is_a_network_or_refused_in_a_line(monkeypatch, number):
    monkeypatch.setattr(w_statistics, "_SAMPLES", 50)
    whole, file, chance = FILES[number], Path("x"), random.Random(number)
    places, said = list(parts(whole)), []
    for _ in range(300):
        data = changed(whole, chance.choice(places), chance.choice(NONSENSE))
        try:
            converted.completed(converted.of_checkpoint(understand(data, file), file, ""), file)
        except UserError as error:
            said.append(str(error))
    assert 50 < len(said) < 300
    assert all(text.isprintable() and len(text) < 600 for text in said)
