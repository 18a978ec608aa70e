"""Modules that differ in a few buffers and share all the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def with_buffers(module: M, changed: Mapping[str, torch.Tensor]) -> M:
    """A module that shares all with ``module`` but the buffers ``changed``, by dotted name."""
    other = copy.copy(module)
    other._buffers = {**module._buffers, **{name: t for name, t in changed.items() if "." not in name}}
    other._modules = dict(module._modules)
    for child in {name.split(".", 1)[0] for name in changed if "." in name}:
        own = {name[len(child) + 1 :]: t for name, t in changed.items() if name.startswith(f"{child}.")}
        inner = module._modules[child]
        assert inner is not None
        other._modules[child] = with_buffers(inner, own)
    return other
