"""Latents of other tools are read as data, whatever their files are called."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from draggan_runtime.errors import UserError
from draggan_runtime.inert.fuzz.samples import numpy_file, torch_file
from draggan_runtime.latents import read_latent
from draggan_runtime.session import load_session

W = np.random.RandomState(0).randn(5, 8).astype(np.float32)


FILES = {
    "npy": numpy_file(np.save, W),
    "npy of one in a batch": numpy_file(np.save, W[None]),
    "npy of float64": numpy_file(np.save, W.astype(np.float64)),
    "npz, as stylegan's projector": numpy_file(np.savez, w=W[None]),
    "pt": torch_file(torch.from_numpy(W)),
    "pt of a parameter": torch_file(torch.nn.Parameter(torch.from_numpy(W))),
    "old pt": torch_file(torch.from_numpy(W), new=False),
    "pt of a dict": torch_file({"latent": torch.from_numpy(W), "noise": torch.zeros(3)}),
    "pt, as rosinality's projector": torch_file({"me.png": {"img": torch.zeros(2), "latent": torch.from_numpy(W)}}),
    "pickle": pickle.dumps(W),
}


@pytest.mark.parametrize("kind", FILES)
def test_each_kind_gives_the_same_latent(tmp_path, kind):
    file = tmp_path / "latent"
    file.write_bytes(FILES[kind])
    record = load_session(file)
    np.testing.assert_array_equal(record.w_plus, W)
    assert record.w_plus.dtype == np.float32
    assert (record.seed, record.points, record.model) == (None, (), "")


def test_one_w_is_a_row_that_serves_all_slots(tmp_path):
    for w in (W[0], W[:1], W[None, :1]):
        np.testing.assert_array_equal(read_latent(numpy_file(np.save, w), tmp_path), W[:1])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (numpy_file(np.save, np.zeros((2, 5, 8), np.float32)), "shape [2, 5, 8]"),
        (numpy_file(np.save, np.zeros((5, 8), np.int64)), "shape [5, 8]"),
        (numpy_file(np.save, np.full((5, 8), np.nan, np.float32)), "not finite"),
        (torch_file({"a": torch.zeros(3), "b": torch.zeros(3)}), "holds a, b: none of them is called w_plus"),
        (torch_file({"latent": "no"}), "holds no latent"),
        (pickle.dumps(print), "builtins.print"),
        (b"plain text", "cut short or damaged"),
    ],
)
def test_what_is_no_latent_is_a_line_that_names_the_file(tmp_path, data, says):
    file = tmp_path / "latent.npy"
    file.write_bytes(data)
    with pytest.raises(UserError) as error:
        load_session(file)
    text = str(error.value)
    assert says in text
    assert "latent.npy" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["\x1b[2J\nno error", "\u202e" + "x" * 100_000], ids=["escape", "long"])
def test_names_of_a_file_cannot_reach_the_terminal(tmp_path, name):
    with pytest.raises(UserError) as error:
        read_latent(torch_file({name: torch.zeros(3), "b": torch.zeros(3)}), tmp_path / "latent.pt")
    text = str(error.value)
    assert "holds " in text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < len(str(tmp_path)) + 400
