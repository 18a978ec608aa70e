"""A Ray cluster on this machine, held by a process of its own: ``python -m draggan_runtime.cluster.local``.

It prints its address as a line of JSON, and ends with SIGTERM, and all of Ray's processes with it. With several nodes
it behaves as several machines would, so that placing sessions and losing nodes can be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from draggan_runtime.cluster.profiles import Profile, apply
from draggan_runtime.errors import StartError

_START = 120.0
_STORE = 512 * 1024 * 1024  # bytes of shared memory a node


def start_local(nodes: int, profile: Profile, log: Path) -> tuple[str, int]:
    """Start one in a process that outlives this one; its address, and the pid to end it by. Raises StartError."""
    command = [sys.executable, "-m", "draggan_runtime.cluster.local", "--nodes", str(nodes), "--profile", profile.value]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True, start_new_session=True
        )
    assert process.stdout is not None
    late = threading.Timer(_START, process.kill)
    late.start()
    line = process.stdout.readline()
    late.cancel()
    try:
        return str(json.loads(line)["address"]), process.pid
    except ValueError:
        process.kill()
        raise StartError(f"no Ray cluster could be started on this machine; see {log}") from None


def main() -> None:
    """Hold a cluster until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--profile", type=Profile, default=Profile.normal)
    options = parser.parse_args()
    apply(options.profile, loopback=True)
    ended = threading.Event()

    def listen() -> None:
        for end in (signal.SIGTERM, signal.SIGINT):
            signal.signal(end, lambda *_: ended.set())

    listen()
    from ray.cluster_utils import Cluster

    cpus = max(1, (os.cpu_count() or 1))
    of_node = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE}
    of_node["include_log_monitor"] = False  # nobody reads what it sends, and it keeps a file open of each process
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=of_node)
    for number in range(1, options.nodes):
        labels = {"draggan.node": str(number)}
        cluster.add_node(num_cpus=cpus, object_store_memory=_STORE, labels=labels, wait=number == options.nodes - 1)
    listen()  # Ray has put a listener of its own there, which waits 30 s for actors that are to stay
    print(json.dumps({"address": cluster.address}), flush=True)
    ended.wait()
    cluster.shutdown()


if __name__ == "__main__":
    main()
