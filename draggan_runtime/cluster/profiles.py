"""How a Ray cluster must be started for what is built on it. Environment variables: Ray's processes read them."""

from __future__ import annotations

import os
from enum import StrEnum


class Profile(StrEnum):
    """How soon a death is noticed: as Ray comes, or as soon as can be, at the cost of more messages."""

    normal = "normal"
    fast_failover = "fast_failover"


_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_max_direct_call_object_size": str(4 * 1024 * 1024),
    "RAY_enable_open_telemetry": "0",
    "RAY_task_events_report_interval_ms": "0",  # the head would keep one of each call, 0.5 GB an hour
}
# Deaths of processes: 0.2 s instead of 2 to 3.6. Of nodes: 2 s instead of 25.
_FAST = {
    "RAY_timeout_ms_task_wait_for_death_info": "50",
    "RAY_core_worker_internal_heartbeat_ms": "100",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def settings(profile: Profile, *, loopback: bool) -> dict[str, str]:
    """The environment for a cluster's processes. ``loopback``: it listens on this machine only."""
    return _ALWAYS | (_FAST if profile is Profile.fast_failover else {}) | (_LOOPBACK if loopback else {})


def apply(profile: Profile, *, loopback: bool) -> None:
    """Set them in this process; before Ray is imported. What the user has set stays."""
    for name, value in settings(profile, loopback=loopback).items():
        os.environ.setdefault(name, value)
