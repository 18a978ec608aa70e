"""Latents of other tools are read as data, whatever their files are called."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
from foreign import saved

from draggan_runtime.errors import UserError
from draggan_runtime.latents import read_latent
from draggan_runtime.session import load_session

W = np.random.RandomState(0).randn(5, 8).astype(np.float32)


def npy(array, save=np.save, **names) -> bytes:
    out = io.BytesIO()
    save(out, array, **names) if not names else save(out, **names)
    return out.getvalue()


FILES = {
    "npy": npy(W),
    "npy of one in a batch": npy(W[None]),
    "npy of float64": npy(W.astype(np.float64)),
    "npz, as stylegan's projector": npy(None, np.savez, w=W[None]),
    "pt": saved(torch.from_numpy(W)),
    "pt of a parameter": saved(torch.nn.Parameter(torch.from_numpy(W))),
    "old pt": saved(torch.from_numpy(W), new=False),
    "pt of a dict": saved({"latent": torch.from_numpy(W), "noise": torch.zeros(3)}),
    "pt, as rosinality's projector": saved({"me.png": {"img": torch.zeros(2), "latent": torch.from_numpy(W)}}),
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
        np.testing.assert_array_equal(read_latent(npy(w), tmp_path), W[:1])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (npy(np.zeros((2, 5, 8), np.float32)), "shape [2, 5, 8]"),
        (npy(np.zeros((5, 8), np.int64)), "shape [5, 8]"),
        (npy(np.full((5, 8), np.nan, np.float32)), "not finite"),
        (saved({"a": torch.zeros(3), "b": torch.zeros(3)}), "holds a, b: none of them is called w_plus"),
        (saved({"latent": "no"}), "holds no latent"),
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
