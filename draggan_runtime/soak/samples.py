"""Memory and open files of a cluster's processes over time, and whether they grow."""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from draggan_runtime.soak.processes import Process

MB = 1e6
#: s of a process's life that do not count, and that it must have lived beyond them to be judged.
WARM, LEAST = 120.0, 120.0
#: What the last quarter of a life may hold more than the first: a part, and besides MB or files.
PART, MEGABYTES, FILES = 0.10, 20.0, 5


@dataclass(frozen=True)
class Sample:
    """A process, ``at`` s since the beginning."""

    at: float
    process: Process


@dataclass(frozen=True)
class Life:
    """A process from the end of its warm-up on: medians of the first and last quarter, MB and files."""

    kind: str
    pid: int
    seconds: float
    rss: tuple[float, float]
    handles: tuple[float, float]
    mb_per_hour: float

    @property
    def flat(self) -> bool:
        """True if neither memory nor files grew by more than what is allowed."""
        (rss, rss_after), (handles, handles_after) = self.rss, self.handles
        return rss_after < rss * (1 + PART) + MEGABYTES and handles_after < handles + FILES


def lives(samples: Iterable[Sample]) -> list[Life]:
    """Of each process that lived long enough."""
    by_process: dict[tuple[int, int, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_process[sample.process.pid, sample.process.started, sample.process.kind].append(sample)
    found = []
    for (pid, _, _), life in by_process.items():
        warm = [s for s in life if s.at - life[0].at >= WARM]
        if len(warm) >= 4 and warm[-1].at - warm[0].at >= LEAST:
            found.append(_life(warm[-1].process.kind, pid, warm))
    return found


def _life(kind: str, pid: int, samples: Sequence[Sample]) -> Life:
    quarter = max(len(samples) // 4, 1)
    rss = [s.process.rss / MB for s in samples]
    handles = [float(s.process.handles) for s in samples]
    at = [s.at / 3600 for s in samples]
    slope = statistics.linear_regression(at, rss).slope
    return Life(kind, pid, samples[-1].at - samples[0].at, _ends(rss, quarter), _ends(handles, quarter), slope)


def _ends(values: list[float], quarter: int) -> tuple[float, float]:
    return statistics.median(values[:quarter]), statistics.median(values[-quarter:])


def by_kind(found: Iterable[Life]) -> list[dict[str, Any]]:
    """For each kind of process the one that grew most, and how many there were."""
    kinds: dict[str, list[Life]] = defaultdict(list)
    for life in found:
        kinds[life.kind].append(life)
    rows = []
    for kind, of_kind in sorted(kinds.items()):
        worst = max(of_kind, key=lambda life: (not life.flat, life.rss[1] - life.rss[0]))
        rows.append(
            {
                "kind": kind,
                "processes": len(of_kind),
                "minutes": worst.seconds / 60,
                "rss_mb_first": worst.rss[0],
                "rss_mb_last": worst.rss[1],
                "rss_mb_per_hour": worst.mb_per_hour,
                "handles_first": worst.handles[0],
                "handles_last": worst.handles[1],
                "flat": all(life.flat for life in of_kind),
            }
        )
    return rows


def write_csv(samples: Iterable[Sample], path: Path) -> None:
    """All samples, a line each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seconds", "pid", "kind", "rss_bytes", "handles"])
        for sample in samples:
            p = sample.process
            writer.writerow([f"{sample.at:.1f}", p.pid, p.kind, p.rss, p.handles])
