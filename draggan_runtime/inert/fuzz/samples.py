"""Small whole files of each format, for mutations to start from."""

from __future__ import annotations

import argparse
import collections
import gzip
import io
import pickle
from typing import Any

import numpy as np


def samples() -> list[bytes]:
    """Pickles of all protocols, files of torch in both formats, .npy, .npz, and in gzip; each of a few kB."""
    import torch

    tensors = {
        "weight": torch.arange(24.0).reshape(4, 2, 3).transpose(0, 1),
        "half": torch.ones(3, dtype=torch.float16),
        "wide": torch.ones(2, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "expanded": torch.zeros(1).expand(5),
        "count": torch.tensor(3),
    }
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    plain = {
        "variables": [("w", array), ("f", np.asfortranarray(array)), ("s", np.float64(2))],
        "values": (1, -(2**40), 1.5, None, True, "text é", b"bytes", {1, 2}, frozenset(("a",)), 1j, bytearray(b"x")),
        "ordered": collections.OrderedDict(a=[1, [2, [3]]]),
    }
    layer = {"_parameters": tensors, "_modules": collections.OrderedDict(a=1), "training": False}
    meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": "G", "state": layer}
    saved = {"g_ema": tensors, "args": argparse.Namespace(size=8), "dtype": torch.float32, "shape": torch.Size((1, 2))}
    pickles = [pickle.dumps(plain, protocol) for protocol in range(6)]
    pickles += [pickle.dumps(tensors, protocol) for protocol in (2, 4)]
    pickles += [called("torch_utils.persistence", "_reconstruct_persistent_obj", meta)]
    torches = [torch_file(what, new) for what in (saved, torch.nn.Linear(2, 3)) for new in (True, False)]
    arrays = [
        numpy_file(np.save, array.T),
        numpy_file(np.savez, a=array, b=array > 3),
        numpy_file(np.savez_compressed, a=array),
    ]
    return [*pickles, *torches, *arrays, gzip.compress(pickles[2]), gzip.compress(torches[0])]


def called(module: str, name: str, *args: Any) -> bytes:
    """A pickle that calls ``module.name``, which need not exist."""
    pickled = pickle.dumps(args, 2)
    return pickled[:2] + f"c{module}\n{name}\n".encode() + pickled[2:-1] + b"R."


def torch_file(what: Any, new: bool = True) -> bytes:
    """What ``torch.save`` writes, in the format of today or of before 1.6."""
    import torch

    out = io.BytesIO()
    torch.save(what, out, _use_new_zipfile_serialization=new)
    return out.getvalue()


def numpy_file(save: Any, *arrays: Any, **named: Any) -> bytes:
    """What ``numpy.save`` or ``numpy.savez`` writes."""
    out = io.BytesIO()
    save(out, *arrays, **named)
    return out.getvalue()
