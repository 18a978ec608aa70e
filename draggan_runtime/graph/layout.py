"""Which node runs in which container."""

from __future__ import annotations

from draggan_runtime.errors import UserError
from draggan_runtime.graph.draft import Drafts
from draggan_runtime.graph.layers import Containers
from draggan_runtime.graph.model import DRAG, SESSION, ContainerSpec, Edge, Restart
from draggan_runtime.registry import close_matches

#: The container of a launch that names none.
LOCAL = "local"


def lay_out(containers: Containers, drafts: Drafts, edges: list[Edge]) -> dict[str, ContainerSpec]:
    """The containers with their nodes. Raises UserError for a node in none or in two."""
    _check_driver(containers)
    owner = _listed(containers, drafts)
    for node, draft in drafts.items():
        if node not in owner and draft.container is not None:
            if draft.container not in containers:
                raise UserError(
                    f"{draft.at(draft.origin)}: no container '{draft.container}'"
                    + close_matches(draft.container, containers)
                )
            owner[node] = draft.container
    rest = next((name for name, c in containers.items() if c.file.nodes == "rest"), None)
    for node, draft in drafts.items():
        if node in owner or draft.impl in (DRAG, SESSION):
            continue
        if rest is None:
            first = next(iter(containers.values()))
            raise UserError(
                f"{first.where}: node '{node}' is in no container; add it to one of {', '.join(containers)}"
            )
        owner[node] = rest
    driver = next((name for name, c in containers.items() if c.file.place == "driver"), "driver")
    for node, draft in drafts.items():
        if node not in owner:
            owner[node] = _home(node, edges, owner) if draft.impl == DRAG else driver
            owner[node] = owner[node] or driver
    specs = {name: _spec(name, containers, owner, drafts) for name in containers}
    if driver not in specs:
        specs[driver] = ContainerSpec(driver, "driver", tuple(n for n in drafts if owner[n] == driver))
    return specs


def _check_driver(containers: Containers) -> None:
    drivers = [name for name, c in containers.items() if c.file.place == "driver"]
    rests = [name for name, c in containers.items() if c.file.nodes == "rest"]
    if len(drivers) > 1:
        raise UserError(
            f"{containers[drivers[1]].where}: container '{drivers[1]}': only one container can be in "
            f"the driver, and '{drivers[0]}' is"
        )
    if len(rests) > 1:
        raise UserError(
            f"{containers[rests[1]].where}: container '{rests[1]}': only one container takes the rest, "
            f"and '{rests[0]}' does"
        )


def _listed(containers: Containers, drafts: Drafts) -> dict[str, str]:
    owner: dict[str, str] = {}
    for name, container in containers.items():
        for node in [] if container.file.nodes == "rest" else container.file.nodes:
            where = f"{container.where}: container '{name}'"
            if node not in drafts:
                raise UserError(f"{where}: no node '{node}' in the graph{close_matches(node, drafts)}")
            if node in owner:
                raise UserError(f"{where}: node '{node}' is in container '{owner[node]}' already")
            owner[node] = name
    return owner


def _home(drag: str, edges: list[Edge], owner: dict[str, str]) -> str:
    """The container of the node that takes the drag's gradient: the loop's hops stay inside it."""
    return next(
        (
            owner[e.target_node]
            for e in edges
            if e.source_node == drag and e.source_port == "gradient" and e.target_node in owner
        ),
        "",
    )


def _spec(name: str, containers: Containers, owner: dict[str, str], drafts: Drafts) -> ContainerSpec:
    file = containers[name].file
    restart = Restart(file.restart.policy, file.restart.max) if file.restart else Restart()
    return ContainerSpec(
        name=name,
        place=file.place,
        nodes=tuple(node for node in drafts if owner[node] == name),
        num_cpus=file.num_cpus,
        num_gpus=file.num_gpus,
        labels=dict(file.labels),
        threads=file.threads,
        device=file.device,
        restart=restart,
    )
