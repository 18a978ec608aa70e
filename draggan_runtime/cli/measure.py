"""What the benchmarks measure besides time: the machine's speed, the arithmetic done, the memory taken."""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def convolution_rate(device: str, repeats: int = 12) -> float:
    """FLOP/s of a 3x3 convolution of 512 channels on a map of 64 x 64 cells: what a drag could reach at best."""
    import torch
    from torch.nn.functional import conv2d

    x = torch.randn(1, 512, 64, 64, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(512, 512, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats):
            started = time.perf_counter()
            conv2d(x, weight, padding=1)
            wait_for(device)
            seconds.append(time.perf_counter() - started)
    return 2 * 9 * 512 * 512 * 64 * 64 / min(seconds)


def wait_for(device: str) -> None:
    """Until the device has done what it was told."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


@contextlib.contextmanager
def flops() -> Iterator[Callable[[], int]]:
    """Counts the floating-point operations of torch's products and convolutions (two each) in this thread."""
    from torch.utils.flop_counter import FlopCounterMode

    counter: Any = FlopCounterMode(display=False)
    with counter:
        yield lambda: int(counter.get_total_flops())


class PeakMemory:
    """The most memory this process, or on CUDA its tensors, took since this was made; MB (1e6 bytes)."""

    def __init__(self, device: str) -> None:
        self._device = device
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        else:
            with contextlib.suppress(OSError):  # elsewhere than on Linux: since the process began
                Path("/proc/self/clear_refs").write_text("5")
        self.before = self.now()

    def now(self) -> float:
        """The peak so far."""
        if self._device.startswith("cuda"):
            import torch

            return float(torch.cuda.max_memory_allocated(self._device)) / 1e6
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024 / 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def median(runs: list[dict[str, Any]], key: str) -> float:
    """The median of a figure over runs."""
    return float(statistics.median(run[key] for run in runs))
