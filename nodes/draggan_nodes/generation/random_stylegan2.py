"""StyleGAN2 of seeded random weights: for benchmarks and tests. It draws nothing one would recognise."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_runtime.errors import UserError
from draggan_runtime.models import ModelInfo

SIDES = ("32", "64", "128", "256", "512", "1024")
_SEED = 0
_loaded: dict[tuple[str, str], StyleGAN2] = {}
_loading = threading.Lock()


class RandomStyleGAN2:
    """``stylegan2:SIDE``: configuration F, SIDE x SIDE px; a :class:`~draggan_runtime.models.ModelSource`.

    Nothing is fetched or kept on disk. Raises UserError for a side that is none of ``SIDES``.
    """

    def __init__(self, side: str = "512") -> None:
        if side not in SIDES:
            raise UserError(f"model 'stylegan2:{side}': its side is one of {', '.join(SIDES)}, as in stylegan2:512")
        # Changes of what the seed gives must change the hash.
        identity = f"stylegan2 config-f, side {side}, seed {_SEED}, version 1"
        self.info = ModelInfo(
            name=f"stylegan2:{side}",
            title="StyleGAN2 (config-f) with random weights, for benchmarks",
            size=(int(side), int(side)),
            download_bytes=0,
            licence="none needed: random numbers",
            source=f"made when loaded; stylegan2:SIDE for another size, {SIDES[0]} to {SIDES[-1]}",
            sha256=hashlib.sha256(identity.encode()).hexdigest(),
        )

    def cached(self) -> Path | None:
        return None

    def fetch(self, from_file: Path | None = None) -> None:
        if from_file is not None:
            raise UserError(f"{self.info.name} has random weights; it takes none from {from_file}")

    def load(self, device: str) -> StyleGAN2:
        with _loading:
            key = self.info.name, device
            if key not in _loaded:
                architecture = Architecture.config_f(self.info.size[0])
                network = StyleGAN2.random(architecture, seed=_SEED, name=self.info.name, sha256=self.info.sha256)
                _loaded[key] = network.to(device)
            return _loaded[key]
