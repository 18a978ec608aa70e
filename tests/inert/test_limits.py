"""Small files that ask for much: refused before it is given."""

from __future__ import annotations

import gzip
import io
import pickle
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import EasyDict, stand_ins

from draggan_runtime.errors import UserError
from draggan_runtime.inert import Limits, parse, read
from draggan_runtime.inert.fuzz.samples import called, numpy_file, torch_file

SMALL = Limits(file=1 << 20, memory=1 << 20, arrays=1 << 20, opcodes=50_000, items=20_000)


@contextmanager
def refused(match: str, megabytes: float = 20) -> Iterator[None]:
    """The block ends in a refusal that says ``match``, in less than 5 s of the processor and without so much memory."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        with pytest.raises(UserError, match=match):
            yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 5


def test_a_file_too_large_is_not_opened_and_what_is_no_file_neither(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with refused("more than"):
        read(file)
    with refused("is no file"):
        read(tmp_path)
    with refused("cannot be read"):
        read(Path("/dev/zero"))
    with refused("No such file"):
        read(tmp_path / "none")


def test_bombs_do_not_go_off() -> None:
    zeros = bytes(50 << 20)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", zeros)
    arrays = numpy_file(np.savez_compressed, a=np.zeros(50 << 20, np.uint8))
    for bomb in (gzip.compress(zeros, 1), packed.getvalue(), arrays):
        with refused("memory"):
            parse(bomb, "x", SMALL)


def test_files_in_files_end_somewhere() -> None:
    data = pickle.dumps(1)
    for _ in range(10):
        data = gzip.compress(data)
    with refused("files in files"):
        parse(data, "x")
    old = torch_file(torch.zeros(1), new=False)
    for _ in range(10):
        old = old[:15] + old[15 : old.index(b"u.", 15) + 2] + called("torch.storage", "_load_from_bytes", old)
    with refused("files in files"):
        parse(old, "x")


@pytest.mark.parametrize(
    "code",
    [
        b"\x8e" + b"\xff" * 7 + b"\x7f",
        b"\x8e" + b"\xff" * 8,
        b"B\xff\xff\xff\xff",
        b"X\xff\xff\xff\xff",
        b"T\xff\xff\xff\xff",
    ],
)
def test_lengths_that_lie_allocate_nothing(code: bytes) -> None:
    with refused("cut short"):
        parse(b"\x80\x05" + code + b"abc.", "x")


def test_numbers_are_of_reasonable_length() -> None:
    assert parse(pickle.dumps(2**1000), "x") == 2**1000
    for data in (pickle.dumps(1 << 100_000), b"I" + b"9" * 10_000 + b"\n."):
        with refused("number of"):
            parse(data, "x")


def test_opcodes_and_depth_and_items_end_somewhere() -> None:
    with refused("opcodes"):
        parse(b"(" * 100_000, "x", SMALL)
    with refused("opcodes"):
        parse(b"N" + b"2" * 100_000, "x", SMALL)
    with refused("depth"):
        parse(b"]" * 20_000 + b"a" * 19_999 + b".", "x", SMALL)
    assert len(parse(b"]" * 150 + b"a" * 149 + b".", "x")) == 1


def test_what_is_small_but_endless_to_walk_is_refused() -> None:
    laughs = b"\x80\x02N" + b"2\x86" * 60 + b"."  # (x, x) of (x, x) of ...: 2 ** 60 items
    with refused("items"):
        parse(laughs, "x")
    with refused("holds itself"):
        parse(b"\x80\x02]q\x00h\x00a.", "x")
    with refused("holds itself"):
        parse(b"\x80\x02ctorch.nn\nModule\n)\x81q\x00}K\x01h\x00sb.", "x")


def test_arrays_count_as_if_they_were_copies() -> None:
    wide = torch.zeros(1).expand(1 << 10, 1 << 12)
    for data in (torch_file(wide), torch_file(wide, new=False), torch_file([torch.zeros(1000).expand(100, 1000)] * 2)):
        parse(data, "x")
    with refused("arrays"):
        parse(torch_file(wide), "x", SMALL)
    with refused("arrays"):
        parse(torch_file([torch.zeros(1000).expand(100, 1000) for _ in range(3)]), "x", SMALL)
    with refused("memory|arrays"):
        parse(torch_file(torch.zeros(1, dtype=torch.bfloat16).expand(1 << 18)), "x", SMALL)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        (b"cbuiltins\nset", (list(range(5000)),)),
        (b"ccollections\nOrderedDict", ([(n, n) for n in range(2000)],)),
        (b"c_codecs\nencode", ("x" * 100_000,)),
        (b"ccopyreg\n_reconstructor", (EasyDict, dict, dict.fromkeys(range(5000)))),
    ],
)
def test_one_large_thing_cannot_be_copied_again_and_again(name: bytes, args: tuple[object, ...]) -> None:
    with stand_ins(EasyDict):
        remembered = b"\x80\x02" + pickle.dumps(args, 2)[2:-1] + b"r\x00\x00\x00\x7f"
    copy = name + b"\nj\x00\x00\x00\x7fR0"
    assert parse(remembered + copy + b"N.", "x", SMALL) is None
    with refused("memory"):
        parse(remembered + copy * 1000 + b"N.", "x", SMALL)


def read_often(held: object, times: int) -> bytes:
    """A pickle that remembers a file of torch's old format with ``held`` in it, and reads that again and again."""
    whole = torch_file(0, new=False)
    behind = pickle.dumps(0, 2) + pickle.dumps([], 2)
    inner = whole[: whole.index(behind)] + pickle.dumps(held, 3) + pickle.dumps([], 2)
    remembered = b"\x80\x04B" + len(inner).to_bytes(4, "little") + inner + b"\x940"
    return remembered + b"ctorch.storage\n_load_from_bytes\n\x940](" + b"h\x01h\x00\x85R" * times + b"e."


def test_a_file_in_the_file_cannot_be_read_again_and_again() -> None:
    short, long = [bytes((n,)) * 10_000 for n in range(5)], bytes(90_000)
    for held in (short, long):
        assert len(parse(read_often(held, 2), "x", SMALL)) == 2
    with refused("memory"):  # those are copied
        parse(read_often(short, 40), "x", SMALL)
    with refused("bytes of files in it"):
        parse(read_often(long, 40), "x", SMALL)


def test_an_object_half_built_is_not_looked_for_again_and_again() -> None:
    state = b"(K\x03U\x01<NNNtq\x000"
    remembered = b"".join(b"r" + (n + 1).to_bytes(4, "little") for n in range(100_000))
    shell = b"cnumpy\ndtype\nU\x02f4\x85R"
    begin = time.process_time()
    assert parse(b"\x80\x02N" + state + shell + remembered + b"2" * 20_000 + b"h\x00b0" * 20_001 + b".", "x") is None
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "code", [b"K\x00p0\ng%s\n", b"K\x00p%s\n", b"c%s\nModule\n", b"ctorch.nn\n%s\n", b"L%sL\n", b"F%s\n"]
)
def test_lines_are_of_reasonable_length(code: bytes) -> None:
    with refused("(number|name) of more than"):
        parse(b"\x80\x02" + code % (b"0" * 1_000_000) + b".", "x")


def test_long_names_are_not_looked_at_again_and_again() -> None:
    with refused("name too long"):
        parse(pickle.dumps("torch.nn" + ".a" * 10_000, 4)[:-1] + b"\x8c\x06Module\x93.", "x")


def test_keys_that_all_hash_alike_are_refused() -> None:
    with refused("for a key"):
        parse(pickle.dumps({n * (2**61 - 1): 0 for n in range(100)}), "x")
    with refused("for a key"):
        parse(pickle.dumps({(1, 2): 3}), "x")


def tensor(size: tuple[int, ...], stride: tuple[int, ...], start: int) -> bytes:
    """A pickle of a tensor in a storage of 4 numbers."""
    held = pickle.dumps(torch.arange(4.0).storage(), 4)
    parts = b"".join(pickle.dumps(part, 2)[2:-1] for part in (start, size, stride, False, None))
    return b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n(" + held[2:-1] + parts + b"tR."


@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_a_tensor_lies_within_its_storage() -> None:
    np.testing.assert_array_equal(parse(tensor((2, 2), (1, 2), 0), "x"), [[0, 2], [1, 3]])
    beyond = [((3,), (1,), 2), ((2, 2), (4, 1), 0), ((1,), (1,), 2**62), ((2**62, 2**62), (0, 0), 0)]
    for shape in [*beyond, ((-1,), (1,), 0), ((2,), (-1,), 1), ((2,), (1, 1), 0)]:
        with refused("x (holds|is damaged|asks for more)"):
            parse(tensor(*shape), "x")


def test_a_storage_has_the_size_it_says() -> None:
    whole = torch_file({"w": torch.arange(4.0)})
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for storage in (b"", bytes(12), bytes(20)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, storage if name.endswith("data/0") else part)
        with refused("another size"):
            parse(out.getvalue(), "x")
    old = torch_file(torch.arange(4.0), new=False)
    with refused("another size"):
        parse(old[:-24] + (5).to_bytes(8, "little") + old[-16:], "x")


def test_the_directory_of_an_archive_is_bounded() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number:0300}.npy", b"")
    with refused("directory", megabytes=40):
        parse(out.getvalue(), "x")


def test_parts_of_one_name_or_encrypted_or_compressed_otherwise_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", pickle.dumps(2))
    with refused("two parts of one name"):
        parse(out.getvalue(), "x")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1))
    with refused("zip archive of a kind"):
        parse(out.getvalue(), "x")
    with refused("damaged"):
        parse(b"\x1f\x8b\x08" + bytes(7) + zlib.compress(b"x")[2:-8], "x")
