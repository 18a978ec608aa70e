"""What is on the disk of a session after a crash at any moment."""

from __future__ import annotations

import numpy as np
import pytest

from draggan_runtime.cluster.store import LARGE, About, Kept, Store, digest
from draggan_runtime.errors import UserError
from draggan_runtime.execution.parts import Delta
from draggan_runtime.messages import Progress
from draggan_runtime.session import SessionRecord, pairs


def kept() -> Kept:
    record = SessionRecord(id="s", w_plus=np.zeros((2, 3), np.float32), points=pairs([((1, 2), (3, 4))]))
    record.begin()
    return Kept(record, dragging=True)


def progress(step: int, stopped=None) -> Progress:
    return Progress(
        session="s",
        step=step,
        drag_steps=step,
        handles={1: (1.0 + step, 2.0)},
        distances={1: 9.0 - step},
        confidence={1: 1.0},
        loss=0.5,
        w_plus=np.full((2, 3), step, np.float32),
        seconds=0.1 * step,
        stopped=stopped,
    )


def make(tmp_path):
    return Store(tmp_path).add(About("s", digest("secret"), 1.0))


def commit(store, state: Kept, step: int, **parts) -> None:
    delta = Delta({("node", name): value for name, value in parts.items()})
    state.step(progress(step), delta)
    store.write_step(state, progress(step), delta)


def test_every_step_that_was_kept_is_there_again(tmp_path):
    store, state = make(tmp_path), kept()
    store.write_base(state)
    for step in range(1, 4):
        commit(store, state, step, moments=np.full(5, step), count=step)
        again = Store(tmp_path).session("s").read()
        assert (again.record.step, again.record.history[-1].steps, again.dragging) == (step, step, True)
        assert (again.record.w_plus == step).all()
        assert (again.parts["node", "moments"] == step).all()


def test_a_step_of_an_older_base_is_not_read(tmp_path):
    store, state = make(tmp_path), kept()
    store.write_base(state)
    commit(store, state, 1)
    stale = (store.folder / "step").read_bytes()
    state.record.step = 7
    store.write_base(state)
    (store.folder / "step").write_bytes(stale)
    assert Store(tmp_path).session("s").read().record.step == 7


def test_large_parts_are_written_once(tmp_path):
    store, state = make(tmp_path), kept()
    store.write_base(state)
    commit(store, state, 1, reference=np.zeros(LARGE + 1, np.uint8))
    commit(store, state, 2, count=2)
    assert (store.folder / "step").stat().st_size < LARGE
    again = Store(tmp_path).session("s").read()
    assert again.record.step == 2
    assert again.parts["node", "reference"].nbytes == LARGE + 1


def test_a_damaged_base_is_an_error_and_a_damaged_step_is_none(tmp_path):
    store, state = make(tmp_path), kept()
    store.write_base(state)
    commit(store, state, 1)
    (store.folder / "step").write_bytes(b"half")
    assert Store(tmp_path).session("s").read().record.step == 0
    (store.folder / "base").write_bytes(b"half")
    with pytest.raises(UserError, match="cannot be read"):
        Store(tmp_path).session("s").read()


@pytest.mark.parametrize("id", ["../other", "", ".hidden", "a/b", "x" * 65])
def test_an_id_names_no_other_folder(tmp_path, id):
    with pytest.raises(UserError, match="cannot name a session"):
        Store(tmp_path).add(About(id, digest("t"), 1.0))


def test_only_the_digest_of_a_token_is_kept(tmp_path):
    make(tmp_path)
    about = Store(tmp_path).about("s")
    assert about.fits("secret")
    assert not about.fits("other")
    assert b"secret" not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
