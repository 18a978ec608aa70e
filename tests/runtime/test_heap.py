"""Memory that is freed is used again, and given back when asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from draggan_runtime import heap

pytestmark = pytest.mark.skipif(heap._glibc() is None, reason="only glibc is told")

#: Blocks of 100 MB are filled in two threads, one block after another; then all is given back.
PROGRAM = """
import json, resource, sys, threading
import numpy as np
from draggan_runtime import heap

SIZE, BLOCKS = 100 << 20, 8

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def fill():
    np.ones(SIZE, np.uint8)

def pages(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        fill()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def measure():
    fill()
    said.append(pages(BLOCKS) * resource.getpagesize() / SIZE / BLOCKS)

if sys.argv[1] == "keep":
    heap.keep_freed()
said = []
measure()
thread = threading.Thread(target=measure)
thread.start()
thread.join()
kept = resident()
heap.give_back()
print(json.dumps({"cleared": said, "given": (kept - resident()) / SIZE}))
"""


def measured(what: str, **environment: str) -> dict:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    # numpy asks for huge pages, which hide how much is cleared
    clean |= {"NUMPY_MADVISE_HUGEPAGE": "0", **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM, what], env=clean, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_without_it_each_block_is_cleared_anew():
    assert min(measured("as it is")["cleared"]) > 0.9


def test_a_block_is_cleared_once_in_whatever_thread():
    assert max(measured("keep")["cleared"]) < 0.1


def test_what_was_kept_is_given_back_when_asked():
    assert measured("keep")["given"] > 0.9


def test_who_has_set_mallocs_environment_has_it_so():
    assert min(measured("keep", MALLOC_ARENA_MAX="4")["cleared"]) > 0.9
