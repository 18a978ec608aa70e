"""Finding node classes: registered names, ``module:Class``, ``path/file.py:Class``.

Anyone may register a node under a name with the entry point group ``draggan.nodes``:

    [project.entry-points."draggan.nodes"]
    "tracking/mine" = "my_package.tracker:MyTracker"
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, ModuleType

from draggan_runtime.builtin import BUILTIN
from draggan_runtime.errors import UserError
from draggan_runtime.node import Node

GROUP = "draggan.nodes"


@dataclass(frozen=True)
class ImplRef:
    """A node class as plain data, which any process on this machine can load.

    ``name``: as the user wrote it. ``target``: ``module:Class`` or ``/absolute/file.py:Class``.
    ``search_path``: absolute folders to look for modules in, after those of sys.path: the ones of the process
    that made this, since they do not reach a Ray worker.
    """

    name: str
    target: str
    search_path: tuple[str, ...] = ()

    def load(self) -> type[Node]:
        """The class. Raises UserError (with file and line) if it cannot be imported or is no node."""
        place, _, attribute = self.target.rpartition(":")
        for folder in self.search_path:
            if folder not in sys.path:
                sys.path.append(folder)
        module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place, self.name)
        found = getattr(module, attribute, None)
        if found is None:
            raise UserError(f"{self.name}: no class '{attribute}'{_its_nodes(module)}")
        if not (isinstance(found, type) and issubclass(found, Node)):
            raise UserError(f"{self.name}: {attribute} is not a node; make it a subclass of draggan_runtime.node.Node")
        return found


@dataclass(frozen=True)
class ResolvedImpl:
    """A class that was found, and the plain form that finds it again in another process."""

    ref: ImplRef
    cls: type[Node]

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return self.ref.name


@dataclass(frozen=True)
class Available:
    """A registered node. ``error`` is set, and ``summary`` empty, if its class cannot be loaded."""

    name: str
    target: str
    summary: str
    distribution: str
    error: str = ""


def resolve(impl: str, search_path: Sequence[str | Path] = (), *, folder: Path | None = None) -> ResolvedImpl:
    """Find the class that ``impl`` names.

    ``folder``: of the file that says so; a relative ``path/file.py`` is looked up there, then in the current
    folder. ``search_path``: more folders for modules. Raises UserError: unknown name, file, module or class,
    or not a node.
    """
    path = _travelling_path([*search_path, *([folder] if folder else []), Path.cwd()])
    ref = ImplRef(impl, _target(impl, folder), path)
    return ResolvedImpl(ref, ref.load())


def available() -> list[Available]:
    """Every registered node, by name."""
    found = []
    for name, candidates in sorted(_registered().items()):
        for target, distribution in candidates:
            try:
                cls = ImplRef(name, target).load()
            except UserError as error:
                found.append(Available(name, target, "", distribution, str(error)))
            else:
                found.append(Available(name, target, summary(cls), distribution))
    return found


def summary(cls: type) -> str:
    """First sentence of a class's own docstring, or ""."""
    text = (cls.__dict__.get("__doc__") or "").strip()
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", paragraph)[0]


def close_matches(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or ``; there are a, b, c``, to end an error about an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there are {', '.join(names)}" if names else ""


def _registered() -> dict[str, list[tuple[str, str]]]:
    """(target, distribution) by name; a name that several packages claim has several."""
    found: dict[str, list[tuple[str, str]]] = {
        name: [(f"{cls.__module__}:{cls.__qualname__}", "draggan-runtime")] for name, cls in BUILTIN.items()
    }
    for point in entry_points(group=GROUP):
        distribution = point.dist.name if point.dist else "?"
        known = found.setdefault(point.name, [])
        if point.name not in BUILTIN and (point.value, distribution) not in known:
            known.append((point.value, distribution))
    return found


def _target(impl: str, folder: Path | None) -> str:
    if impl.endswith(".py"):
        raise UserError(f"'{impl}' names a file; add the class: {impl}:Class")
    place, colon, attribute = impl.rpartition(":")
    if not colon:
        return _registered_target(impl)
    if not place or not attribute.isidentifier():
        raise UserError(f"'{impl}' is no node; write a registered name, module:Class or path/file.py:Class")
    if not place.endswith(".py"):
        return impl
    folders = [folder or Path.cwd(), Path.cwd()]
    for base in folders:
        file = (base / Path(place).expanduser()).resolve()
        if file.is_file():
            return f"{file}:{attribute}"
    raise UserError(f"'{impl}': no file {place} in {' or '.join(dict.fromkeys(map(str, folders)))}")


def _registered_target(name: str) -> str:
    registered = _registered()
    candidates = registered.get(name, [])
    if len(candidates) == 1:
        return candidates[0][0]
    if candidates:
        claims = ", ".join(f"{target} ({distribution})" for target, distribution in candidates)
        raise UserError(f"'{name}' is registered more than once: {claims}; write module:Class")
    raise UserError(f"no node is registered as '{name}'{close_matches(name, registered)}")


def _travelling_path(first: Iterable[str | Path]) -> tuple[str, ...]:
    own = {os.path.realpath(p) for p in sysconfig.get_paths().values()}
    folders = [str(Path(p).resolve()) for p in [*first, *(p or "." for p in sys.path)]]
    return tuple(dict.fromkeys(p for p in folders if p not in own and os.path.isdir(p) and "lib-dynload" not in p))


def _load_module(name: str, impl: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise UserError(
                f"{impl}: no module '{error.name}'; is it installed, or its folder on PYTHONPATH?"
            ) from error
        raise UserError(f"{impl}: {_at_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{impl}: {_at_line(error)}") from error


class _Uncached(importlib.machinery.SourceFileLoader):
    """Compiles what the file says now and leaves no bytecode beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _load_file(file: Path) -> ModuleType:
    """The file as a module of a name of its own, read again only after it changed."""
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:12]
    name = f"draggan_file_{file.stem}_{digest}"
    try:
        stat = file.stat()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    stamp = (stat.st_mtime_ns, stat.st_size)
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__draggan_stamp__", None) == stamp:
        return loaded
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    loader = _Uncached(name, str(file))
    spec = importlib.machinery.ModuleSpec(name, loader, origin=str(file))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up while it loads
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UserError(_at_line(error, file)) from error
    module.__dict__["__draggan_stamp__"] = stamp
    return module


def _at_line(error: BaseException, file: Path | None = None) -> str:
    """``file:line: Type: message`` in one line; the line in ``file`` if the error passed through it."""
    message = " ".join(str(error).split()) or "no message"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    inside = [f for f in frames if file is not None and f.filename == str(file)] or frames[-1:]
    place = f"{inside[-1].filename}:{inside[-1].lineno}: " if inside and inside[-1].filename != __file__ else ""
    return f"{place}{type(error).__name__}: {message}"


def _its_nodes(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Node) and value.__module__ == module.__name__
    ]
    return f"; it defines {', '.join(names)}" if names else ""
