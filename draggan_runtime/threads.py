"""How many threads torch computes with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# How often an OpenMP thread looks for work before it sleeps; heard when torch loads, here and in Ray's workers. The
# default is milliseconds' worth, which on a busy machine the thread that it waits for would have needed: whole maps
# took 3 to 5 times as long. On a quiet one 10,000 costs nothing measurable, 1,000 costs 15 to 40%.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@contextlib.contextmanager
def at_most(count: int | None) -> Iterator[None]:
    """Within, torch's operations use at most ``count`` threads; None: as many as before.

    Small operations gain little from more, and lose a lot on a busy machine: all threads wait for the last of them
    at the end of each operation, and that one waits for another process to leave its core.
    """
    import torch

    before = torch.get_num_threads()
    if count is None or count >= before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
