"""``draggan doctor``: is this machine fit, and if not, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime import models
from draggan_runtime.cli.common import Format, FormatOption, print_json
from draggan_runtime.display_probe import display_reachable
from draggan_runtime.errors import DragganError
from draggan_runtime.files import cache_dir, writable_folder

MIN_FREE_GB = 1.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``remedy``: what to do about it, if anything."""

    what: str
    state: Literal["ok", "note", "broken"]
    detail: str
    remedy: str = ""


def _python() -> Finding:
    return Finding("python", "ok", platform.python_version())


def _torch() -> Finding:
    import torch

    cpu = f"{torch.__version__}, {torch.get_num_threads()} threads on {os.cpu_count()} cores"
    return Finding("torch", "ok", cpu)


def _devices() -> Finding:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if not names:
        return Finding("devices", "note", "cpu only", "a CUDA device makes a step many times faster")
    return Finding("devices", "ok", ", ".join(names))


def _display() -> Finding:
    reason = display_reachable()
    if reason is None:
        return Finding("display", "ok", os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or "native")
    return Finding("display", "note", reason, "draggan drag needs none; for the window, set DISPLAY (or use Xvfb)")


def _opencv() -> Finding:
    import cv2

    gui = next((line.split(":")[1].strip() for line in cv2.getBuildInformation().splitlines() if "GUI:" in line), "")
    if not gui or gui == "NONE":
        return Finding(
            "OpenCV window", "broken", f"{cv2.__version__} without a GUI",
            "pip uninstall opencv-python-headless; pip install --force-reinstall opencv-python",
        )  # fmt: skip
    return Finding("OpenCV window", "ok", f"{cv2.__version__}, {gui}")


def _video() -> Finding:
    import av

    encoder = "libx264" if "libx264" in av.codecs_available else "h264"
    if encoder not in av.codecs_available:
        return Finding(
            "video", "broken", f"av {av.__version__} has no H.264 encoder", "pip install --force-reinstall av"
        )
    return Finding("video", "ok", f"av {av.__version__}, {encoder}")


def _ray() -> Finding:
    # Started in a process of its own: a cluster that cannot start must not take the doctor along.
    code = "from draggan_runtime.execution.ray_host import start_ray, stop_ray; start_ray(); stop_ray()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    import ray

    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding("Ray", "broken", f"{ray.__version__} does not start: {last}", "see /tmp/ray/session_latest/logs")
    return Finding("Ray", "ok", f"{ray.__version__}, starts a private cluster on loopback")


def _models() -> Finding:
    folder = cache_dir()
    try:
        writable_folder(folder)
    except DragganError as error:
        return Finding("model cache", "broken", str(error), "set DRAGGAN_CACHE to a folder you can write to")
    sources = {}
    for name in models.names():
        try:
            sources[name] = models.find(name)
        except DragganError as error:
            return Finding("model cache", "note", str(error), f"draggan models remove {name}")
    missing = [name for name, source in sources.items() if source.info.download_bytes and source.cached() is None]
    if missing:
        return Finding("model cache", "note", f"{folder}: {', '.join(missing)} not fetched yet",
                       f"draggan models fetch {missing[0]}")  # fmt: skip
    return Finding("model cache", "ok", f"{folder}: {', '.join(sources)}")


def _disk() -> Finding:
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    if free < MIN_FREE_GB:
        return Finding(
            "free disk",
            "broken",
            f"{free:.1f} GB at {folder}",
            f"free {MIN_FREE_GB:g} GB, or set DRAGGAN_CACHE",
        )
    return Finding("free disk", "ok", f"{free:.1f} GB at {folder}")


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": _python,
    "torch": _torch,
    "devices": _devices,
    "display": _display,
    "OpenCV window": _opencv,
    "video": _video,
    "Ray": _ray,
    "model cache": _models,
    "free disk": _disk,
}


def examine(what: str, check: Callable[[], Finding]) -> Finding:
    """The check's finding; a check that raises is a finding too."""
    try:
        return check()
    except Exception as error:
        return Finding(
            what,
            "broken",
            f"{type(error).__name__}: {error}",
            "pip install --force-reinstall draggan-runtime",
        )


def doctor(format_: FormatOption = Format.table) -> None:
    """Look at Python, torch, devices, display, OpenCV, video, Ray, the model cache and the disk.

    Names the remedy for what is broken. Exit code 1 if anything is.
    """
    findings = [examine(what, check) for what, check in CHECKS.items()]
    if format_ is Format.json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table("", "", "found", "what to do")
        for finding in findings:
            colour = {"ok": "green", "note": "yellow", "broken": "red"}[finding.state]
            table.add_row(finding.what, f"[{colour}]{finding.state}[/]", finding.detail, finding.remedy)
        Console().print(table)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
