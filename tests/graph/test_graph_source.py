"""YAML as graph files use it: plain values with the line of every key."""

from __future__ import annotations

import math

import pytest
from graph_helpers import Files

from draggan_runtime.errors import UserError
from draggan_runtime.graph.source import read, scalar


def refusal(files: Files, text: str) -> str:
    files.write("a.yaml", text)
    with pytest.raises(UserError) as caught:
        read(files.folder / "a.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_key_and_item_knows_its_line(files: Files) -> None:
    source = read(
        files.write(
            "a.yaml",
            """
            # a comment
            one: 1
            list:
              - {id: x,
                 deep: {inner: 2}}
              - y
            """,
        )
    )
    assert source.data == {"one": 1, "list": [{"id": "x", "deep": {"inner": 2}}, "y"]}
    assert source.where(("one",)) == "a.yaml:2"
    assert source.where(("list", 0)) == "a.yaml:4"
    assert source.where(("list", 0, "deep", "inner")) == "a.yaml:5"
    assert source.where(("list", 1)) == "a.yaml:6"
    assert source.where(("list", 1, "not there")) == "a.yaml:6"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-3", 0.003),
        ("8", 8),
        ("014", 14),
        ("0x1F", 31),
        ("-.inf", -math.inf),
        ("true", True),
        ("on", "on"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("", None),
        ("'8'", "8"),
        ("[1, 2e3]", [1, 2000.0]),
        ("{a: 1}", {"a": 1}),
        ("path/file.py:Class", "path/file.py:Class"),
        ("@not yaml", "@not yaml"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_a_file_can_name_its_own_folder(files: Files) -> None:
    source = read(files.write("sub/a.yaml", "edit: $(dirname)/edits/nose.yaml"))
    assert source.data == {"edit": f"{files.folder.resolve()}/sub/edits/nose.yaml"}


def test_a_key_said_twice_is_an_error_at_the_second(files: Files) -> None:
    assert refusal(files, "a: 1\nb: 2\na: 3\n") == "a.yaml:3: duplicate key 'a' (first in line 1)"


def test_aliases_are_refused(files: Files) -> None:
    assert refusal(files, "a: &x [1]\nb: *x\n") == "a.yaml:2: aliases (*name) are not supported"


def test_no_python_object_can_be_made(files: Files) -> None:
    assert refusal(files, "a: 1\nb: !!python/object/apply:os.system [ls]\n").startswith("a.yaml:2: tag ")
    assert refusal(files, "a: !!int x\n").startswith("a.yaml:1: ")


def test_broken_yaml_names_the_line(files: Files) -> None:
    assert refusal(files, "a: 1\nb: [1, 2\nc: 3\n").startswith("a.yaml:3: ")
    assert refusal(files, "a: \x01\n").startswith("a.yaml:1: ")
    assert refusal(files, "[" * 5000).startswith("a.yaml:1: ")


def test_unreadable_files_are_user_errors(files: Files) -> None:
    (files.folder / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read(files.folder / "b.yaml")
    with pytest.raises(UserError, match="No such file"):
        read(files.folder / "missing.yaml")


def test_empty_file(files: Files) -> None:
    assert files.error("") == ("file.yaml:1: should be a mapping with the keys version, name, nodes, include, remap")
