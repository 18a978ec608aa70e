"""The fuzz command: finds nothing in the reader, and does find what there is in a reader that runs code."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from draggan_runtime import models
from draggan_runtime.cli import fuzz as command
from draggan_runtime.errors import UserError
from draggan_runtime.inert.fuzz import worker
from draggan_runtime.inert.fuzz.run import Reader, failed, fuzz


class Call:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


HARM: dict[bytes, Any] = {
    b"system": lambda: os.system("true"),
    b"unpickle": lambda: pickle.loads(pickle.dumps(Call())),
    b"eval": lambda: eval("1"),
    b"import": lambda: importlib.import_module("wave"),
    b"file": lambda: os.open(os.devnull, os.O_RDONLY),
    b"socket": lambda: socket.socket(),
    b"error": lambda: 1 // 0,
    b"exit": lambda: os._exit(3),
    b"leave": lambda: sys.exit(3),
    b"sleep": lambda: time.sleep(60),
    b"memory": lambda: bytes(1 << 40),
    b"no data": lambda: object(),
    b"none": lambda: [1],
}


def unsafe(line: Any, warm: Any, folder: Path) -> None:
    """A reader that does harm."""
    worker.parse = lambda data, *_: HARM[data]()  # type: ignore[assignment]
    worker.serve(line, warm, folder)


def test_a_reader_that_does_harm_is_caught() -> None:
    came = {}
    reader = Reader([], unsafe)
    try:
        for name in HARM:
            came[name.decode()], _ = reader.read(name, 0.5 if name == b"sleep" else 60)
            if name in (b"exit", b"sleep"):
                reader.close()
                reader = Reader([], unsafe)
    finally:
        reader.close()
    ran = dict.fromkeys(("system", "unpickle", "eval", "import", "file", "socket"), "ran")
    crashed = dict.fromkeys(("error", "exit", "leave", "no data"), "crashed")
    assert came == ran | crashed | {"sleep": "hung", "memory": "over memory", "none": "read"}


class Library:
    """Converts files that say what harm it is to do."""

    def convert(self, file: Path, out: Path) -> None:
        match file.read_bytes():
            case b"good":
                out.write_bytes(b"")
            case b"elsewhere":
                (file.parent / ".." / "draggan-fuzz-elsewhere").unlink(missing_ok=True)
            case b"error":
                raise OverflowError
            case b"two lines":
                raise UserError("a\nb")
            case b"memory":
                bytes(1 << 40)
            case _:
                raise UserError("no model")


def with_library(line: Any, warm: Any, folder: Path) -> None:
    """A reader that takes everything, and hands it to :class:`Library`."""
    worker.parse = lambda data, *_: []  # type: ignore[assignment]
    worker.models.libraries = lambda: [Library()]  # type: ignore[assignment, list-item]
    worker.serve(line, warm, folder)


def test_a_conversion_that_does_harm_is_caught() -> None:
    reader = Reader([], with_library)
    try:
        names = ("good", "elsewhere", "error", "two lines", "memory", "none")
        came = {name: reader.read(name.encode(), 60)[0] for name in names}
    finally:
        reader.close()
    harm = {"elsewhere": "ran", "error": "crashed", "two lines": "crashed", "memory": "over memory"}
    assert came == {"good": "converted", **harm, "none": "read"}


def test_the_samples_of_models_are_models() -> None:
    files = [sample for library in models.libraries() for sample in library.samples()]
    reader = Reader(files)
    try:
        assert [reader.read(data, 60)[0] for data in files] == ["converted"] * len(files)
    finally:
        reader.close()
    assert len(files) >= 6


@pytest.mark.filterwarnings("ignore:invalid escape")
def test_the_inert_reader_stands_what_it_is_given(tmp_path: Path) -> None:
    result = fuzz(300, 1, 60, tmp_path)
    assert not failed(result), result["kept"]
    assert result["read"] > 10
    assert result["converted"] > 10
    assert result["converted"] + result["read"] + result["refused"] == result["files"] == 300
    assert not list(tmp_path.iterdir())


def test_the_command_prints_its_figures_and_fails_if_a_file_did_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(command.fuzz)
    answers = iter([("refused", ""), ("crashed", "")])
    monkeypatch.setattr(Reader, "read", lambda *_: next(answers))
    done = [CliRunner().invoke(app, ["--files", "1", "--format", "json"]) for _ in range(2)]
    assert [one.exit_code for one in done] == [0, 1]
    assert json.loads(done[1].stdout)["crashed"] == 1


def test_files_that_do_harm_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([("refused", ""), ("hung", "no answer"), ("read", "")])
    monkeypatch.setattr(Reader, "read", lambda *_: next(answers))
    result = fuzz(3, 0, 1, tmp_path)
    assert failed(result)
    (kept,) = result["kept"]
    assert Path(kept).read_bytes()
    assert Path(kept).with_suffix(".txt").read_text() == "no answer\n"
