"""``draggan session``: edits on a cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from draggan_runtime.cli.cluster import AtOption, ClusterTokenOption
from draggan_runtime.cli.common import Format, FormatOption, parse_point, print_json, say
from draggan_runtime.cli.tables import session_table
from draggan_runtime.cluster.client import ask, save_as, token_holder
from draggan_runtime.cluster.known import KnownCluster, known_cluster, known_token, remember_token
from draggan_runtime.cluster.protocol import WITHOUT_PHOTO
from draggan_runtime.edit_lines import Edit, parse_line, read_lines
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.messages import Command, Goal, LatentRequest, Mask, Message
from draggan_runtime.pictures import load_mask
from draggan_runtime.session import pairs

app = typer.Typer(help="Edit sessions on a cluster.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="SESSION", help="Its id, see draggan session list.")]
TokenOption = Annotated[
    str, typer.Option("--token", envvar="DRAGGAN_SESSION_TOKEN", help="The session's; unset: the one known here.")
]
_DONE = ("parked", "failed", "stored")


@app.command()
def start(
    name: Annotated[str, typer.Option(help="Its id; unset: a fresh one.")] = "",
    seed: Annotated[int | None, typer.Option(min=0, help="The first picture.")] = None,
    truncation_psi: Annotated[float, typer.Option(min=0)] = 0.7,
    point: Annotated[list[str] | None, typer.Option(metavar="X,Y:X,Y", help="handle:target. Repeatable.")] = None,
    mask: Annotated[Path | None, typer.Option(help="A picture of what may move (> 127).")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="node.param=value, for this session.")] = None,
    edits: Annotated[Path | None, typer.Option(help="A file with a line a session, as edits of draggan drag.")] = None,
    file: Annotated[Path | None, typer.Option(help="A saved session to go on with.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the edits are done.")] = False,
    at: AtOption = "",
    cluster_token: ClusterTokenOption = "",
    format_: FormatOption = Format.table,
) -> None:
    """Start a session; with points it begins to drag.

    \b
    draggan session start --name nose --seed 7 --point 512,590:560,590
    draggan session start --edits edits.jsonl --wait
    """
    known = known_cluster(at, cluster_token)
    begun = []
    if edits is not None:
        for number, line in read_lines(edits).items():
            try:
                edit = parse_line(line)
            except UserError as error:
                raise UserError(f"{edits}:{number}: {error}") from None
            begun.append(_start(known, edit.id or "", _of_edit(edit, edits.parent), None))
    else:
        messages: list[Message] = [Command(session="", verb="set", argument=a) for a in set_ or []]
        messages += _of_options(seed, truncation_psi, [parse_point(p) for p in point or []], mask)
        begun.append(_start(known, name, messages, file))
    if wait:
        ended = _wait(known, [one["id"] for one in begun])
        if format_ is Format.json:
            print_json(ended)
        if any(one.get("drag") not in ("reached", "") for one in ended):
            raise typer.Exit(1)
    elif format_ is Format.json:
        print_json(begun)
    else:
        for one in begun:
            print(f"session {one['id']}, token {one['token']}")


def _of_edit(edit: Edit, folder: Path) -> list[Message]:
    messages: list[Message] = []
    for name, value in edit.params.items():
        key = "drag.max_steps" if name == "max_steps" else name
        messages.append(Command(session="", verb="set", argument=f"{key}={value}"))
    points = [(p.handle, p.target) for p in edit.points]
    psi = 0.7 if edit.truncation_psi is None else edit.truncation_psi
    return messages + _of_options(edit.seed, psi, points, folder / edit.mask if edit.mask else None)


def _of_options(seed: int | None, truncation_psi: float, points: list[Any], mask: Path | None) -> list[Message]:
    messages: list[Message] = []
    if seed is not None:
        messages.append(LatentRequest(session="", seed=seed, truncation_psi=truncation_psi))
    if mask is not None:
        messages.append(Mask(session="", movable=load_mask(mask)))
    if points:
        messages += [Goal(session="", points=pairs(points)), Command(session="", verb="start")]
    return messages


def _start(known: KnownCluster, name: str, messages: list[Message], file: Path | None) -> dict[str, str]:
    data: dict[str, Any] = {"messages": messages}
    if file is not None:
        data["file"] = _without_photo(file)
    begun: dict[str, str] = ask(known, "start", session=name, data=data)
    remember_token(begun["id"], begun["token"])
    return begun


def _without_photo(file: Path) -> bytes:
    """A saved session as bytes; that a photo is left out is said."""
    from draggan_runtime.session import dump_session, load_session

    record = load_session(file)
    if record.photo is not None:
        record.photo = None
        print(f"draggan: {WITHOUT_PHOTO}", file=sys.stderr)
    return dump_session(record)


def _wait(known: KnownCluster, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Until none of them has anything to do."""
    wanted = list(ids)
    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        while True:
            told = [ask(known, "info", session=id) for id in wanted]
            live.update(session_table(told))
            if all(one["state"] in _DONE for one in told):
                return told
            time.sleep(0.3)


@app.command("list")
def list_(at: AtOption = "", cluster_token: ClusterTokenOption = "", format_: FormatOption = Format.table) -> None:
    """All sessions, those only on the disk too."""
    sessions = ask(known_cluster(at, cluster_token), "status")["sessions"]
    if format_ is Format.json:
        print_json(sessions)
    else:
        Console().print(session_table(sessions))


@app.command()
def info(session: Id, at: AtOption = "", token: TokenOption = "", format_: FormatOption = Format.table) -> None:
    """How a session does."""
    told = _ask("info", session, at, token)
    if format_ is Format.json:
        print_json(told)
        return
    for name, value in told.items():
        print(f"{name.replace('_', ' ')}: {value}")


@app.command()
def attach(
    session: Id,
    pen: Annotated[bool, typer.Option("--pen", help="Take the pen from whoever edits.")] = False,
    codec: Annotated[str, typer.Option(help="How pictures come: jpeg, or raw (exact, 20 times the bytes).")] = "jpeg",
    out: Annotated[Path, typer.Option(help="Folder for what is saved.")] = Path("out"),
    launch: Annotated[str, typer.Option(help="The launch with the window, as the cluster's.")] = "",
    at: AtOption = "",
    token: TokenOption = "",
) -> None:
    """Open the window on a session; closing it leaves the session as it is."""
    from draggan_runtime.cluster.window import show

    show(session, at=at, token=token, pen=pen, codec=codec, out=out, launch=launch, say=say)


@app.command()
def cancel(session: Id, at: AtOption = "", token: TokenOption = "") -> None:
    """End the drag under way."""
    _ask("cancel", session, at, token)


@app.command()
def save(
    session: Id,
    path: Annotated[Path, typer.Argument(help="A .draggan file, or a .png of the picture; both reopen exactly.")],
    at: AtOption = "",
    token: TokenOption = "",
) -> None:
    """Save a session here."""
    save_as(path, token_holder(session, at, token), session)
    print(f"saved {path}")


@app.command()
def resume(
    session: Annotated[str, typer.Argument(metavar="[SESSION|FILE]", help="Its id, or a saved session.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Every session on the disk.")] = False,
    name: Annotated[str, typer.Option(help="Id of the session made of a file.")] = "",
    at: AtOption = "",
    cluster_token: ClusterTokenOption = "",
) -> None:
    """Go on with sessions that are on the disk only, from the last step that was kept."""
    known = known_cluster(at, cluster_token)
    if not session and not all_:
        raise UserError("say which: a session's id, a file, or --all")
    if session.endswith((".draggan", ".png")):
        begun = _start(known, name, [], Path(session))
        print(f"session {begun['id']}, token {begun['token']}")
        return
    told = ask(known, "resume", session="" if all_ else session)
    print(f"resumed {', '.join(told['resumed']) or 'nothing'}")


@app.command()
def move(session: Id, at: AtOption = "", token: TokenOption = "") -> None:
    """Have it stepped on another engine, if there is one with room."""
    _ask("move", session, at, token)


@app.command()
def stop(
    session: Id,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it from the disk too.")] = False,
    at: AtOption = "",
    token: TokenOption = "",
) -> None:
    """End a session; it stays on the disk."""
    _ask("stop", session, at, token, delete=delete)


def _ask(do: str, session: str, at: str, token: str, **request: Any) -> Any:
    """As who holds the session's token, else as who manages the cluster."""
    known = known_cluster(at)
    own = token or known_token(session) or known.token
    if not own:
        raise DragganError(f"the token of session '{session}' is not known here; give --token")
    return ask(KnownCluster(known.host, known.port, own, known.ray, known.store), do, session=session, **request)
