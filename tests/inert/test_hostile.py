"""Files made to run a command: refused in one line that names it, and nothing is run."""

from __future__ import annotations

import functools
import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import PERSISTENT, layer, stand_ins

from draggan_runtime.errors import UserError
from draggan_runtime.inert import parse, read
from draggan_runtime.inert.fuzz.samples import called, numpy_file, torch_file

SYSTEM = f"{os.system.__module__}.system"


class Command:
    """Makes a file when unpickled."""

    def __init__(self, canary: Path) -> None:
        self._text = f"touch {canary}"

    def __reduce__(self) -> Any:
        return os.system, (self._text,)


def nested(hostile: Any) -> bytes:
    """A storage in a pickle, which torch loads by unpickling it."""
    return called("torch.storage", "_load_from_bytes", torch_file(hostile, new=False))


def in_persistent_state(hostile: Any) -> bytes:
    with stand_ins(*PERSISTENT):
        return pickle.dumps({"G_ema": layer("Generator", "", {}, {}, hostile=hostile)})


def built(hostile: Command) -> bytes:
    """BUILD calls what the state says is ``__setstate__``."""
    text = hostile._text.encode()
    return b"\x80\x02ctorch.nn.modules.module\nModule\n)\x81}(U\x0c__setstate__c%b\nsystem\nubX%b%bb." % (
        os.system.__module__.encode(),
        len(text).to_bytes(4, "little"),
        text,
    )


DISGUISES: dict[str, tuple[Callable[[Command], bytes], str]] = {
    "reduce": (pickle.dumps, SYSTEM),
    "nested storage": (nested, SYSTEM),
    "persistent object": (in_persistent_state, SYSTEM),
    "build": (built, SYSTEM),
    "getattr chain": (
        lambda hostile: called("builtins", "getattr", functools.reduce, "__globals__"),
        "builtins.getattr",
    ),
    "dotted name": (
        lambda _: b"\x80\x04\x8c\x08torch.nn\x8c\x15functional._os.system\x93.",
        "torch.nn.functional._os.system",
    ),
    "numpy objects": (lambda hostile: pickle.dumps(np.array([hostile, None], object)), "numpy.dtype"),
    "npy objects": (lambda hostile: numpy_file(np.save, np.array([hostile, None], object)), "numpy.dtype"),
    "npz objects": (lambda hostile: numpy_file(np.savez, w=np.array([hostile, None], object)), "numpy.dtype"),
    "gzip": (lambda hostile: gzip.compress(pickle.dumps(hostile)), SYSTEM),
    "zip": (torch_file, SYSTEM),
    "zip, as a weight": (lambda hostile: torch_file({"g_ema": {"w": torch.zeros(2), "x": hostile}}), SYSTEM),
    "old torch": (lambda hostile: torch_file(hostile, new=False), SYSTEM),
    "Python 1 instance": (lambda hostile: b"(S'" + hostile._text.encode() + b"'\nios\nsystem\n.", "os.system"),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_command_is_named_in_one_line_and_not_run(disguise: str, tmp_path: Path) -> None:
    make, name = DISGUISES[disguise]
    canary, file = tmp_path / "canary", tmp_path / "net.pkl"
    file.write_bytes(make(Command(canary)))
    with pytest.raises(UserError) as caught:
        read(file)
    assert not canary.exists()
    assert str(caught.value).startswith(str(file))
    assert name in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_files_above_would_run_their_command_elsewhere(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(Command(canary)))
    assert canary.exists()


def test_the_source_that_a_persistent_object_brings_is_text(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w')\nclass Generator: pass"
    with stand_ins(*PERSISTENT):
        data = pickle.dumps(layer("Generator", source, {}, {}))
    assert parse(data, "x").source == source
    assert not canary.exists()


NOT_FOR_US = """
    os.system posix.system nt.system subprocess.Popen builtins.eval builtins.exec builtins.getattr builtins.__import__
    operator.attrgetter functools.partial torch.load torch.hub.load numpy.load numpy.fromfile pickle.loads sys.exit
    importlib.import_module runpy.run_path webbrowser.open builtins.open torch.serialization.load dnnlib.util.open_url
    torch_utils.custom_ops.get_plugin numpy.core.multiarray.fromstring draggan_runtime.inert.read torch.nn.Module
"""


@pytest.mark.parametrize("name", NOT_FOR_US.split())
def test_what_is_not_on_the_list_is_not_called(name: str) -> None:
    module, _, function = name.rpartition(".")
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        parse(called(module, function, "true"), "x")


def test_a_name_cannot_write_to_the_terminal() -> None:
    with pytest.raises(UserError) as caught:
        parse(b"\x80\x02c\x1b[2Jos\rx\n" + b"s" * 5000 + b"\n.", "x")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "code",
    [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"P1\n", b"K\x01Q", b"\x97", b"(ctorch.nn\nModule\no"],
    ids=["EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "OBJ"],
)
def test_opcodes_that_reach_outside_are_refused(code: bytes) -> None:
    with pytest.raises(UserError):
        parse(b"\x80\x05" + code + b".", "x")


@pytest.mark.parametrize(
    "made",
    [b"ctorch.nn\nModule\n", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", b"cnumpy\ndtype\nU\x02f4\x85R"],
    ids=["a class", "a function", "a storage's class", "a dtype"],
)
def test_only_data_comes_out(made: bytes) -> None:
    for data in (b"\x80\x02" + made + b".", b"\x80\x02]" + made + b"a.", b"\x80\x02}K\x01" + made + b"s."):
        with pytest.raises(UserError):
            parse(data, "x")


def test_an_object_gets_its_state_once() -> None:
    once = b"\x80\x02ctorch.nn\nModule\n)\x81}K\x01K\x02sb"
    assert parse(once + b".", "x").state == {1: 2}
    with pytest.raises(UserError, match=r"torch\.nn\.Module two states"):
        parse(once + b"}b.", "x")
