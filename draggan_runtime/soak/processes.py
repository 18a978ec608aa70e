"""The processes of a cluster on this machine, from /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process. ``kind``: what it is, as "EngineActor", "raylet"; ``handles``: open files.

    ``rss``: bytes resident, without the shared memory it has looked at: that is one for all.
    """

    pid: int
    parent: int
    started: int
    kind: str
    rss: int
    handles: int


def tree(pid: int) -> list[Process]:
    """A process and all below it, oldest first."""
    children: dict[int, list[int]] = {}
    for other, parent in _parents():
        children.setdefault(parent, []).append(other)
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        todo += children.get(one, ())
        with suppress(OSError, ValueError, IndexError):
            found.append(look(one))
    return sorted(found, key=lambda p: (p.started, p.pid))


def look(pid: int) -> Process:
    """One process. Raises OSError if there is none."""
    folder = Path("/proc") / str(pid)
    after_name = (folder / "stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    rss = sum(1024 * int(status.get(field, "0 kB").split()[0]) for field in ("RssAnon", "RssFile"))
    return Process(pid, int(after_name[1]), int(after_name[19]), _kind(folder), rss, len(os.listdir(folder / "fd")))


def shared_memory() -> Process:
    """What all of them share, as if it were a process."""
    return Process(0, 0, 0, "/dev/shm", shared_bytes(), 0)  # noqa: S108 - a name


def kill_node(pid: int, holder: int) -> int:
    """Kill the whole node that ``pid`` runs on: its raylet, and all below it; how many processes that were.

    ``holder``: the process of the local cluster. Its first node is never killed; 0 if ``pid`` runs there.
    """
    raylets = [p for p in tree(holder) if p.kind == "raylet"]
    mine = next((r for r in raylets[1:] if any(p.pid == pid for p in tree(r.pid))), None)
    if mine is None:
        return 0
    members = tree(mine.pid)
    for process in members:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return len(members)


def shared_bytes() -> int:
    """Bytes of shared memory in use on this machine."""
    stat = os.statvfs("/dev/shm")  # noqa: S108 - looked at, not written to
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                yield int(name), int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])


def _kind(folder: Path) -> str:
    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
    if not words:
        return "ended"
    if words[0].startswith("ray::"):
        return words[0].removeprefix("ray::").partition(".")[0]
    name = Path(words[0]).name
    if not name.startswith("python"):
        return name
    script = next((w for w in words[1:] if not w.startswith("-") or w == "-m"), name)
    return words[words.index("-m") + 1] if script == "-m" else Path(script).stem
