"""What graph, config and launch files may say, and their errors with file and line."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from draggan_runtime.errors import UserError
from draggan_runtime.graph.source import Source
from draggan_runtime.registry import close_matches


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _identifier(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*(/[A-Za-z_][A-Za-z0-9_-]*)*", value):
        raise ValueError(f"'{value}' is no name; use letters, digits, _ and -")
    return value


def _reference(value: str) -> str:
    if not re.fullmatch(r"/?[\w-]+(/[\w-]+)+", value):
        raise ValueError(f"'{value}' is no port; write node/port")
    return value


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _tie(value: Any) -> Any:
    return {"from": value} if isinstance(value, str | list) else value


def _gpus(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError(f"'{value}' is no number of GPUs; write a number or auto")


def _label(value: str) -> str:
    # Ray's own rules, and none of its operators: a label is what it says.
    *prefix, name = value.rsplit("/", 1)
    if len(value) > 253 or not all(re.fullmatch(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", p) for p in (*prefix, name)):
        raise ValueError(f"'{value}' is no label; write letters and digits, and -, _ and . between them")
    return value


def _label_value(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"should be a text, not {value!r}; write it in quotes")
    if "/" in value:
        raise ValueError(f"'{value}' is no label; write letters and digits, and -, _ and . between them")
    return _label(value)


def _members(value: Any) -> Any:
    if value == "rest" or (isinstance(value, list) and all(isinstance(v, str) for v in value)):
        return value
    raise ValueError(f"should be a list of node ids, or the word rest, not '{value}'")


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError(f"'{value}' is no device; write auto, cpu or cuda:0")
    return value


Identifier = Annotated[str, AfterValidator(_identifier)]
Reference = Annotated[str, AfterValidator(_reference)]
Labels = dict[Annotated[str, AfterValidator(_label)], Annotated[str, BeforeValidator(_label_value)]]
Names = Annotated[list[str], BeforeValidator(_one_or_more)]
Params = dict[str, Any]


class QosFile(_Strict):
    """How an edge delivers; see :class:`draggan_runtime.graph.model.Qos`."""

    policy: Literal["latest", "reliable"]
    depth: int | None = Field(None, ge=0)
    share: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> QosFile:
        if self.share is not None and self.policy != "latest":
            raise ValueError("share goes only with policy: latest")
        if self.policy == "latest" and self.depth == 0:
            raise ValueError("depth should be at least 1 with policy: latest")
        return self


class TieFile(_Strict):
    """Where an input comes from."""

    from_: Annotated[list[Reference], BeforeValidator(_one_or_more)] = Field(alias="from", min_length=1)
    qos: QosFile | None = None


Inputs = dict[str, Annotated[TieFile, BeforeValidator(_tie)]]
#: In a launch, ``port: null`` unties a port.
InputChanges = dict[str, Annotated[TieFile | None, BeforeValidator(_tie)]]


class NodeFile(_Strict):
    """A node of a graph."""

    id: Identifier
    impl: str
    params: Params = {}
    inputs: Inputs = {}
    outputs: list[str] | None = None
    container: str | None = None


class IncludeFile(_Strict):
    """Another graph's nodes, their ids prefixed, and what they read tied elsewhere."""

    graph: str
    namespace: Identifier | None = None
    remap: dict[Reference, Reference] = {}


class GraphFile(_Strict):
    """A dataflow."""

    version: Literal[1]
    name: str
    nodes: list[NodeFile] = []
    include: list[IncludeFile] = []
    remap: dict[Reference, Reference] = {}


class ConfigFile(_Strict):
    """A parameter preset: parameters by node id; ``impl`` among them chooses what the node runs."""

    version: Literal[1]
    name: str
    params: dict[str, Params]


class NodeChangeFile(_Strict):
    """A node as a launch changes it, or adds it."""

    impl: str | None = None
    params: Params = {}
    inputs: InputChanges = {}
    outputs: list[str] | None = None
    container: str | None = None


class RestartFile(_Strict):
    """What happens to a container that dies."""

    policy: Literal["on-failure", "never"]
    max: int = Field(5, ge=1)


class ContainerFile(_Strict):
    """Where nodes run; see :class:`draggan_runtime.graph.model.ContainerSpec`."""

    place: Literal["driver", "actor"]
    nodes: Annotated[Any, BeforeValidator(_members)]
    num_cpus: float = Field(0.0, ge=0)
    num_gpus: Annotated[Any, BeforeValidator(_gpus)] = 0.0
    labels: Labels = {}
    threads: int | None = Field(None, ge=1)
    device: Annotated[str, AfterValidator(_device)] = "auto"
    restart: RestartFile | None = None

    @model_validator(mode="after")
    def _fits(self) -> ContainerFile:
        if self.labels and self.place == "driver":
            raise ValueError("labels go only with place: actor")
        return self


class EnginesFile(_Strict):
    """How a cluster runs the actor containers; see :class:`draggan_runtime.graph.model.Engines`."""

    replicas: int = Field(1, ge=1)
    spares: int = Field(0, ge=0)
    sessions: int = Field(4, ge=1)
    batch: int = Field(8, ge=1)
    step_budget: float = Field(0.5, gt=0)
    idle: float = Field(60.0, ge=0)
    placement: Literal["pack", "spread", "strict_pack", "strict_spread"] = "pack"
    restarts: int = Field(5, ge=0)


class LaunchFile(_Strict):
    """A graph, presets, and a layout."""

    version: Literal[1]
    name: str
    graph: str
    config: Names = []
    nodes: dict[Identifier, NodeChangeFile] = {}
    remap: dict[Reference, Reference] = {}
    containers: dict[Identifier, ContainerFile] = {}
    engines: EnginesFile | None = None


F = TypeVar("F", bound=_Strict)


def parse(source: Source, schema: type[F]) -> F:
    """A file's content, checked. Raises UserError with the line of what does not fit."""
    if not isinstance(source.data, dict):
        raise UserError(f"{source.where()}: should be a mapping with the keys {_keys(schema)}")
    try:
        return schema.model_validate(source.data)
    except ValidationError as error:
        raise UserError(_first(error, source, schema)) from error


def _first(error: ValidationError, source: Source, schema: type[BaseModel]) -> str:
    """The first error in the order of the file."""
    problem = min(error.errors(), key=lambda e: source.lines.get(_known(e["loc"], source), 0))
    key = _known(problem["loc"], source)
    where = f"{source.where(key)}: {_within(key, source)}"
    name = str(problem["loc"][-1]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        inside = _schema_at(schema, key[:-1])
        return f"{where}unknown key '{name}'{close_matches(name, _aliases(inside))}"
    if problem["type"] == "missing":
        return f"{where}missing key '{name}'"
    if problem["loc"] == ("version",):
        return f"{where}version {problem['input']} is not known; this program reads version 1"
    name = f"'{key[-1]}' " if key else ""
    return f"{where}{name}{brief(problem)}"


def _known(loc: tuple[int | str, ...], source: Source) -> tuple[int | str, ...]:
    """``loc`` without what pydantic adds for unions and aliases."""
    key: tuple[int | str, ...] = ()
    for part in loc:
        if (*key, part) in source.lines:
            key = (*key, part)
    return key


def _within(key: tuple[int | str, ...], source: Source) -> str:
    """``node 'tracker': `` if the key lies in a node of a graph."""
    if len(key) > 1 and key[0] == "nodes":
        entry = source.data["nodes"][key[1]]
        node = entry.get("id") if isinstance(entry, dict) and isinstance(key[1], int) else key[1]
        return f"node '{node}': " if isinstance(node, str) else ""
    if len(key) > 1 and key[0] == "containers":
        return f"container '{key[1]}': "
    return ""


_MODELS: dict[str, type[BaseModel]] = {
    "include": IncludeFile,
    "containers": ContainerFile,
    "qos": QosFile,
    "restart": RestartFile,
    "engines": EnginesFile,
    "inputs": TieFile,
}


def _schema_at(schema: type[BaseModel], key: tuple[int | str, ...]) -> type[BaseModel]:
    for part in key:
        if part == "nodes":
            schema = NodeFile if schema is GraphFile else NodeChangeFile
        else:
            schema = _MODELS.get(str(part), schema)
    return schema


def _aliases(schema: type[BaseModel]) -> list[str]:
    return [f.alias or name for name, f in schema.model_fields.items()]


def _keys(schema: type[BaseModel]) -> str:
    return ", ".join(_aliases(schema))


def brief(problem: Any) -> str:
    """A pydantic error as the end of a sentence: ``should be greater than 0, not -1``."""
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
    message = re.sub(r", unable to parse .*", "", message)
    value = problem["input"]
    return f"{message}, not {value!r}" if value is None or isinstance(value, str | int | float) else message
