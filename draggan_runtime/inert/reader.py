"""A file read as data, whatever it is called: pickle, torch's two formats, numpy's two, any of them in gzip."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import Any

from draggan_runtime.errors import UserError
from draggan_runtime.inert.archive import Archive, inflate
from draggan_runtime.inert.limits import Budget, Limits, Refused
from draggan_runtime.inert.machine import Machine
from draggan_runtime.inert.npy import MAGIC, is_npz, read_npy, read_npz
from draggan_runtime.inert.pieces import Load
from draggan_runtime.inert.torch_files import is_old, read_old, read_zip
from draggan_runtime.inert.tree import check

_NO_LIMITS = Limits()
#: How files begin that people have in place of the one they wanted.
_NOT_IT = (
    (b"<", "is a web page or XML", "what was fetched is not the file but a page about it"),
    (b"version https://git-lfs", "is a pointer to a file in Git LFS", "fetch the file itself with git lfs pull"),
)


def read(path: Path, limits: Limits = _NO_LIMITS) -> Any:
    """The data in a file: a pickle, a file of torch.save, a .npy or .npz, or one of these in gzip.

    The format is known by content, never by name. Nothing that the file names is imported or called. The result is a
    tree of dict, list, tuple, set, frozenset, str, bytes, int, float, bool, None, complex, numpy arrays and
    :class:`~draggan_runtime.inert.record.Record`, of these exact types. Arrays cannot be written; most are views on the
    file's bytes, which they keep in memory, and may be unaligned: copy what is to stay. Byte strings of 64 KiB and more
    come as memoryviews of the same.

    Raises UserError, and no other error: the file cannot be read, is damaged, asks for a function that is not known
    (which is named) or for more than ``limits``.
    """
    try:
        data = _bytes(path, limits)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except MemoryError as error:
        raise _no_memory(str(path)) from error
    return parse(data, str(path), limits)


def parse(data: bytes, name: str, limits: Limits = _NO_LIMITS) -> Any:
    """As :func:`read`, of the bytes of a file that errors call ``name``."""
    try:
        budget = Budget(limits)
        out = _parse(Load(budget), memoryview(data))
        check(out, limits)
        return out
    except Refused as error:
        raise UserError(f"{name} {error}") from error
    except MemoryError as error:
        raise _no_memory(name) from error
    except Exception as error:  # whatever nonsense a file holds, it is the file that is at fault
        raise UserError(f"{name} is damaged, or no file of weights or latents; get it anew") from error


def _bytes(path: Path, limits: Limits) -> bytes:
    """The file, read once: a map of it would kill the process if somebody cut the file short meanwhile."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # also before it is opened: a pipe would wait
        raise OSError("it is no file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limits.file:
            raise UserError(f"{path} has {size:,} bytes, more than {limits.file:,}; is it the right file?")
        return file.read(size)


def _no_memory(name: str) -> UserError:
    return UserError(f"{name} needs more memory than there is; end other programs")


def _parse(load: Load, data: memoryview) -> Any:
    if not data:
        raise Refused("is empty", "get it anew")
    begins = bytes(data[:32])
    for start, what, todo in _NOT_IT:
        if begins.startswith(start):
            raise Refused(what, todo)
    if begins.startswith(b"\x1f\x8b"):
        inside = load.nested()
        return _parse(inside, inflate(load, data, zlib.MAX_WBITS | 16))
    if begins.startswith(b"PK\x03\x04"):
        archive = Archive(load, data)
        return read_npz(load, archive) if is_npz(archive) else read_zip(load, archive)
    if begins.startswith(MAGIC):
        return read_npy(load, data)
    if is_old(data):
        return read_old(load, data)
    return Machine(load, data).run()
