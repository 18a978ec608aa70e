"""Files cut short, damaged, or something else altogether: one line, whatever they hold."""

from __future__ import annotations

import contextlib
import gzip
import pickle
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan_runtime.errors import UserError
from draggan_runtime.inert import parse
from draggan_runtime.inert.fuzz.mutations import mutate
from draggan_runtime.inert.fuzz.samples import numpy_file, samples, torch_file

ARRAY = np.arange(6, dtype=np.float32)
FILES = {
    "pickle": pickle.dumps({"w": ARRAY, "n": [1, "a"]}),
    "pickle of protocol 0": pickle.dumps({"w": ARRAY, "n": [1, "a"]}, 0),
    "tensor in a pickle": pickle.dumps(torch.zeros(2)),
    "zip": torch_file(torch.zeros(2)),
    "old torch": torch_file(torch.zeros(2), new=False),
    "npy": numpy_file(np.save, ARRAY),
    "npz": numpy_file(np.savez_compressed, w=ARRAY),
    "gzip": gzip.compress(pickle.dumps(ARRAY)),
}
WHOLE = samples()


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_anywhere_is_refused_in_a_line(name: str) -> None:
    data = FILES[name]
    parse(data, "x")
    for length in range(len(data)):
        with pytest.raises(UserError) as caught:
            parse(data[:length], "x")
        assert str(caught.value).isprintable()


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_data_or_refused(data: bytes) -> None:
    for start in (b"", b"\x80\x04", b"PK\x03\x04", b"\x93NUMPY\x01\x00", WHOLE[0][:40], WHOLE[-1][:40]):
        with contextlib.suppress(UserError):
            parse(start + data, "x")


@pytest.mark.filterwarnings("ignore:invalid escape")
@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_any_mutation_is_data_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    with contextlib.suppress(UserError):
        parse(mutate(chance.choice(WHOLE), WHOLE, chance), "x")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\x89PNG\r\n\x1a\n", "no file of weights"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (numpy_file(np.save, np.array(["text"])), "something else than numbers"),
        (numpy_file(np.save, np.zeros(2, [("a", "f4")])), "something else than numbers"),
    ],
)
def test_what_is_another_kind_of_file_is_told(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=f"^net.pkl .*{said}"):
        parse(data, "net.pkl")
