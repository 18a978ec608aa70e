"""Files in the structure that other programs write, without their code: stand-ins for it while they are pickled."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def stand_ins(*classes: Any) -> Iterator[None]:
    """For as long as the block runs, ``classes`` can be imported from where their ``__module__`` says."""
    modules: dict[str, types.ModuleType] = {}
    for one in classes:
        parts = one.__module__.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            modules.setdefault(name, types.ModuleType(name))
        setattr(modules[one.__module__], one.__name__, one)
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def named(module: str, name: str, *bases: type, **members: Any) -> type:
    """A class that says it is ``module.name``."""
    return type(name, bases or (object,), {"__module__": module, **members})


EasyDict = named("dnnlib.util", "EasyDict", dict)


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("nobody unpickles these")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
PERSISTENT = (_reconstruct_persistent_obj, EasyDict)


class Persistent:
    """An object as NVIDIA's ``torch_utils.persistence`` pickles it: with the source of its class."""

    def __init__(self, name: str, source: str, state: dict[str, Any]) -> None:
        self._meta = {"type": "class", "version": 6, "module_src": source, "class_name": name, "state": state}

    def __reduce__(self) -> Any:
        return _reconstruct_persistent_obj, (self._meta,), None


def layer(name: str, source: str, tensors: dict[str, torch.Tensor], layers: dict[str, Any], **more: Any) -> Persistent:
    """A layer of stylegan2-ada-pytorch or stylegan3: attributes of torch's Module and its own."""
    module = torch.nn.Module().__dict__ | {"_buffers": tensors, "_modules": layers, "training": False}
    return Persistent(name, source, module | more | {"_init_args": (), "_init_kwargs": EasyDict(more)})


class Network:
    """``dnnlib.tflib.network.Network`` of the TensorFlow code base: pickled by its state."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def __getstate__(self) -> dict[str, Any]:
        return self._state


Network.__module__ = "dnnlib.tflib.network"


def tf_network(name: str, variables: dict[str, np.ndarray], components: dict[str, Any] | None = None) -> Network:
    """A network of the TensorFlow code base."""
    return Network(
        {
            "version": 4,
            "name": name,
            "static_kwargs": EasyDict(num_channels=3, resolution=8, fmap_base=16 << 10),
            "components": components or {},
            "build_module_src": f"def {name}(): raise SystemExit",
            "build_func_name": name,
            "variables": list(variables.items()),
        }
    )
