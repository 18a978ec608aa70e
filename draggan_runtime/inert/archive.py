"""Zip archives and gzip: parts as views on the file where they are stored, inflated within limits where not."""

from __future__ import annotations

import io
import zipfile
import zlib

from draggan_runtime.inert.limits import Refused, too_large
from draggan_runtime.inert.pieces import Load

#: Bytes of an archive's directory, of which the largest torch file has some 200 kB.
_DIRECTORY = 4 << 20
_LOCAL_HEADER = 30
_CHUNK = 1 << 20


class Archive:
    """A zip archive in ``data``: ``names`` of its parts. Nothing is ever written to a path that they name."""

    def __init__(self, load: Load, data: memoryview) -> None:
        self._load = load
        self._data = data
        parts = zipfile.ZipFile(_Directory(data)).infolist()
        self._parts = {part.filename: part for part in parts}
        if len(self._parts) != len(parts):
            raise Refused("is a zip archive with two parts of one name")
        self.names = list(self._parts)

    def read(self, name: str) -> memoryview:
        """The bytes of a part. Raises Refused if there is no such part, or it is damaged or too large."""
        part = self._parts.get(name)
        if part is None:
            raise Refused(f"lacks the part {name[:40]!a}", "get it anew")
        at = part.header_offset
        header = self._data[at : at + _LOCAL_HEADER]
        start = at + _LOCAL_HEADER + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = self._data[start : start + part.compress_size]
        if at < 0 or bytes(header[:4]) != b"PK\x03\x04" or len(data) != part.compress_size or part.flag_bits & 1:
            raise Refused(f"is damaged, or encrypted, at its part {name[:40]!a}", "get it anew")
        if part.compress_type == zipfile.ZIP_DEFLATED:
            data = inflate(self._load, data, -zlib.MAX_WBITS)
        elif part.compress_type != zipfile.ZIP_STORED:
            raise Refused("is a zip archive of a kind that neither torch nor numpy writes")
        if len(data) != part.file_size:
            raise Refused(f"holds a part of another size than it says: {name[:40]!a}", "get it anew")
        return data


class _Directory(io.RawIOBase):
    """An archive for :class:`zipfile.ZipFile`, which only looks for the directory in it, and reads that at once."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, to: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = to + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        if self._at < 0:
            raise OSError("before the start")
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        end = len(self._data) if size is None or size < 0 else self._at + size
        data = self._data[self._at : end]
        if len(data) > _DIRECTORY:
            raise too_large("bytes of a zip archive's directory", _DIRECTORY)
        self._at += len(data)
        return bytes(data)


def inflate(load: Load, data: memoryview, bits: int) -> memoryview:
    """Inflated ``data``, as zlib does with ``bits``. Raises Refused: more than the limits leave, or damaged."""
    inflater = zlib.decompressobj(bits)
    out = io.BytesIO()
    for at in range(0, len(data), _CHUNK):
        rest: bytes | memoryview = data[at : at + _CHUNK]
        while rest and not inflater.eof:
            part = inflater.decompress(rest, _CHUNK)
            load.left.memory(len(part))
            out.write(part)
            rest = inflater.unconsumed_tail
    if not inflater.eof:
        raise Refused("is cut short or damaged", "get it anew")
    return out.getbuffer().toreadonly()
