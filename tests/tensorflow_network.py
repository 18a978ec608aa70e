"""TensorFlow's StyleGAN2 in its own terms: variables by the names and layouts of its files, and what it draws of them.

Not made from the reader under test, nor from our network: after the paper and the facts of those files. Kernels are
``[rows, columns, inputs, outputs]``, dense weights ``[inputs, outputs]``; styles lack the 1 that is added to them; an
upsampling layer correlates its kernel with the map between whose cells zeros were put, and blurs what comes of it.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch
from foreign import PERSISTENT, EasyDict, Network, stand_ins
from torch.nn.functional import conv2d, leaky_relu, pad

CHANNELS, MAPPING, Z_DIM = {4: 6, 8: 5, 16: 4}, (12, 9), 10
_W_DIM = MAPPING[-1]
_LR_MULTIPLIER = 0.01
_TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
Array = np.ndarray[Any, Any]


class TensorFlowStyleGAN2:
    """One of random weights: 16 x 16 px, not conditional."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed)
        self.mean = self._normal(_W_DIM) * np.float32(0.3)
        self.mapping: dict[str, Array] = {}
        for i, (inputs, outputs) in enumerate(zip((Z_DIM, *MAPPING), MAPPING, strict=False)):
            self.mapping[f"Dense{i}/weight"] = self._normal(inputs, outputs) / np.float32(_LR_MULTIPLIER)
            self.mapping[f"Dense{i}/bias"] = self._normal(outputs)
        self.synthesis: dict[str, Array] = {"4x4/Const/const": self._normal(1, CHANNELS[4], 4, 4)}
        noise, before = 0, CHANNELS[4]
        for rows, channels in CHANNELS.items():
            for layer in ("Conv",) if rows == 4 else ("Conv0_up", "Conv1"):
                self._add(f"{rows}x{rows}/{layer}", 3, before, channels)
                self.synthesis[f"{rows}x{rows}/{layer}/noise_strength"] = np.float32(0.2 + 0.1 * noise)
                self.synthesis[f"noise{noise}"] = self._normal(1, 1, rows, rows)
                noise, before = noise + 1, channels
            self._add(f"{rows}x{rows}/ToRGB", 1, channels, 3)

    def _normal(self, *shape: int) -> Array:
        return self._random.randn(*shape).astype(np.float32)

    def _add(self, layer: str, kernel: int, inputs: int, outputs: int) -> None:
        self.synthesis |= {
            f"{layer}/weight": self._normal(kernel, kernel, inputs, outputs),
            f"{layer}/bias": self._normal(outputs) * np.float32(0.3),
            f"{layer}/mod_weight": self._normal(_W_DIM, inputs),
            f"{layer}/mod_bias": self._normal(inputs) * np.float32(0.3),
        }

    def file(self) -> bytes:
        """The tuple G, D, Gs, pickled."""

        def network(name: str, variables: dict[str, Any], **components: Network) -> Network:
            arguments = EasyDict(num_channels=3, resolution=16, architecture="skip", mapping_lrmul=_LR_MULTIPLIER)
            state = {"version": 4, "name": name, "static_kwargs": arguments, "components": EasyDict(components)}
            more = {"build_module_src": "raise SystemExit", "build_func_name": name}
            return Network({**state, **more, "variables": list(variables.items())})

        def generator(mean: Array) -> Network:
            inner = {"synthesis": network("G_synthesis", self.synthesis), "mapping": network("G_mapping", self.mapping)}
            return network("Gs", {"lod": np.float32(0), "dlatent_avg": mean}, **inner)

        with stand_ins(*PERSISTENT, Network):
            return pickle.dumps((generator(self.mean + 1), network("D", {}), generator(self.mean)))

    def image(self, z: Array, truncation_psi: float) -> torch.Tensor:
        """The pictures ``[B, 3, 16, 16]`` of z ``[B, z_dim]``."""
        w = self._w(torch.from_numpy(z))
        w = torch.from_numpy(self.mean) + truncation_psi * (w - torch.from_numpy(self.mean))
        x = self._get("4x4/Const/const").expand(len(w), -1, -1, -1)
        rgb, noise = torch.zeros(len(w), 3, 2, 2), 0
        for rows in CHANNELS:
            for layer in ("Conv",) if rows == 4 else ("Conv0_up", "Conv1"):
                x = self._modulated(x, w, f"{rows}x{rows}/{layer}", demodulated=True)
                x = x + self._get(f"noise{noise}") * self._get(f"{rows}x{rows}/{layer}/noise_strength")
                x = leaky_relu(x + self._get(f"{rows}x{rows}/{layer}/bias")[:, None, None], 0.2) * 2**0.5
                noise += 1
            layer = f"{rows}x{rows}/ToRGB"
            own = self._modulated(x, w, layer, demodulated=False) + self._get(f"{layer}/bias")[:, None, None]
            rgb = _blurred(pad(_zeros_between(rgb), (2, 1, 2, 1))) + own
        return rgb

    def _get(self, name: str) -> torch.Tensor:
        return torch.as_tensor(self.synthesis[name])

    def _w(self, z: torch.Tensor) -> torch.Tensor:
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for i in range(len(MAPPING)):
            weight, bias = (torch.from_numpy(self.mapping[f"Dense{i}/{part}"]) for part in ("weight", "bias"))
            x = x @ (weight * _LR_MULTIPLIER / len(weight) ** 0.5) + bias * _LR_MULTIPLIER
            x = leaky_relu(x, 0.2) * 2**0.5
        return x

    def _modulated(self, x: torch.Tensor, w: torch.Tensor, layer: str, demodulated: bool) -> torch.Tensor:
        weight = self._get(f"{layer}/weight")
        weight = weight / weight[..., 0].numel() ** 0.5
        style = w @ (self._get(f"{layer}/mod_weight") / _W_DIM**0.5) + self._get(f"{layer}/mod_bias") + 1
        each = weight[None] * style[:, None, None, :, None]
        if demodulated:
            each = each * torch.rsqrt(each.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        up = layer.endswith("_up")
        x = pad(_zeros_between(x)[:, :, :-1, :-1] if up else x, (2 if up else len(weight) // 2,) * 4)
        out = torch.cat([conv2d(one[None], k.permute(3, 2, 0, 1)) for one, k in zip(x, each, strict=True)])
        return _blurred(pad(out, (1, 1, 1, 1))) if up else out


def _zeros_between(x: torch.Tensor) -> torch.Tensor:
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def _blurred(x: torch.Tensor) -> torch.Tensor:
    """By the usual filter, with the gain of 4 that zeros between cells ask for."""
    taps = torch.from_numpy(_TAPS * 4).to(x).expand(x.shape[1], 1, 4, 4)
    return conv2d(x, taps, groups=x.shape[1])
