"""How many threads torch computes with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


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
