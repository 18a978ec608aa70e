"""What made a row: the checkout's commit and the packages' versions."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

import draggan_runtime

_PACKAGES = ("draggan-runtime", "torch", "numpy", "opencv-python", "dlib-bin")


@cache
def commit() -> str | None:
    """The checkout's commit, with a ``+`` if files differ from it; None for an installed package."""
    checkout = Path(draggan_runtime.__file__).resolve().parent.parent
    if not (checkout / "pyproject.toml").is_file():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def versions() -> dict[str, str]:
    """By name, the version of each package that figures may depend on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version_of(package)
        except PackageNotFoundError:
            continue
    return found
