"""Torch's two file formats: a zip archive with a pickle in it, and before 1.6 pickles with bytes behind them."""

from __future__ import annotations

from typing import Any

from draggan_runtime.inert.archive import Archive
from draggan_runtime.inert.cursor import Cursor
from draggan_runtime.inert.limits import Refused
from draggan_runtime.inert.machine import Machine
from draggan_runtime.inert.pieces import Kind, Load, key, natural, same
from draggan_runtime.inert.torch_names import Storage, storage_dtype, width

#: The first pickle of a file of the old format, after its protocol.
_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa850192e")
_VERSION = 1001
_NOT_TORCH = "names what lies outside of it (a persistent id that is not torch's)"


def is_old(data: memoryview) -> bool:
    """True for a file of the old format."""
    return data[0] == 0x80 and bytes(data[2 : 2 + len(_MAGIC)]) == _MAGIC


def read_zip(load: Load, archive: Archive) -> Any:
    """What a zip archive of ``torch.save`` holds. Raises Refused."""
    pickles = [name for name in archive.names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused(f"is a zip archive with {len(pickles)} data.pkl, so neither torch's nor numpy's")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.names and bytes(archive.read(f"{folder}byteorder")) != b"little":
        raise Refused("is of a big-endian machine", "save it anew on another one")
    known: dict[str, Storage] = {}

    def storage(of: Any) -> Storage:
        if type(of) is not tuple or len(of) != 5 or not same(of[0], "storage") or type(of[2]) is not str:
            raise Refused("is damaged: a storage has no name", "get it anew")
        dtype, name = storage_dtype(of[1]), of[2]
        if name not in known:
            known[name] = Storage(dtype, archive.read(f"{folder}data/{name}"))
        found = known[name]
        if found.dtype != dtype or found.data is None or len(found.data) != natural(of[4]) * width(dtype):
            raise Refused(f"holds a storage of another size than it says: {name[:20]!a}", "get it anew")
        return found

    return Machine(load, archive.read(pickles[0]), persistent=storage).run()


def read_old(load: Load, data: memoryview) -> Any:
    """What a file of the old format holds: magic number, version, machine, object, names of storages, storages.

    Where those lie depends on what the object says of them: it is read twice, first without them.
    """
    if not is_old(data):
        raise Refused("holds a storage in a format that torch does not write")
    at = 2 + len(_MAGIC)
    version, at = _pickle(load, data, at)
    machine, at = _pickle(load, data, at)
    if not same(version, _VERSION) or type(machine) is not dict or machine.get("little_endian") is not True:
        raise Refused("is a torch file of another version or of a big-endian machine", "save it anew on another one")
    named = _Named({})
    _, behind = _pickle(load, data, at, named)
    names, behind = _pickle(load, data, behind)
    if type(names) is not list or len(set(map(key, names))) != len(names) or named.sizes.keys() - set(names):
        raise Refused("is damaged: its storages have no names", "get it anew")
    cursor = Cursor(data, behind, load.left)
    found: dict[Any, memoryview] = {}
    for name in names:
        dtype, count = named.sizes.get(name, (None, 0))
        if dtype is None or cursor.number(8, signed=True) != count:
            raise Refused("holds a storage of another size than it says", "get it anew")
        found[name] = cursor.take(count * width(dtype))
    return _pickle(load, data, at, _Named(found))[0]


def _pickle(load: Load, data: memoryview, at: int, persistent: _Named | None = None) -> tuple[Any, int]:
    """The object pickled at ``at``, and where the pickle ends."""
    machine = Machine(load, data, at, persistent)
    return machine.run(), machine.cursor.at


class _Named:
    """Storages of the old format by name: ``sizes`` gathers the dtype and the number of elements that are asked for."""

    def __init__(self, found: dict[Any, memoryview]) -> None:
        self.sizes: dict[Any, tuple[str, int]] = {}
        self._found = found

    def __call__(self, of: Any) -> Storage | Kind:
        if type(of) is not tuple or not of or type(of[0]) is not str:
            raise Refused(_NOT_TORCH)
        match of:
            case ("module", Kind() as kind, str(), str() as source):
                return Kind(kind.module, kind.name, source)
            case ("module", Kind() as kind, *_):
                return kind
            case ("storage", kind, name, str(), count, view):
                return self._storage(storage_dtype(kind), key(name), natural(count), view)
        raise Refused(_NOT_TORCH)

    def _storage(self, dtype: str, name: Any, count: int, view: Any) -> Storage:
        if self.sizes.setdefault(name, (dtype, count)) != (dtype, count):
            raise Refused("holds a storage of another size than it says", "get it anew")
        data = self._found.get(name)
        if data is None or view is None:
            return Storage(dtype, data)
        _, start, size = view
        start, end = natural(start), natural(start) + natural(size)
        if end > count:
            raise Refused("holds a storage that reaches beyond its data", "get it anew")
        return Storage(dtype, data[start * width(dtype) : end * width(dtype)])
