"""``draggan drag``: edits without a window, one or a batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from draggan_runtime import api, cost_file, models
from draggan_runtime.batch import RESULTS, Batch, BatchProgress
from draggan_runtime.cli.common import (
    INTERRUPTED,
    BoxOption,
    FaceOption,
    Format,
    FormatOption,
    SetOption,
    override,
    parse_box,
    parse_point,
    print_json,
)
from draggan_runtime.cli.invert import watch_inversion
from draggan_runtime.cli.progress import watched
from draggan_runtime.edit_files import FILES, PHOTO, drag_to_files
from draggan_runtime.errors import UserError
from draggan_runtime.files import writable_folder
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.lasting import model_of, model_to_load
from draggan_runtime.messages import Progress
from draggan_runtime.photos import load_photo
from draggan_runtime.pictures import COMPOSITE, load_mask, save_png
from draggan_runtime.session import SessionRecord, load_session


def drag(
    out: Annotated[Path, typer.Option(help="Folder for what is written.")],
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y:X,Y", help="Handle and target, px of the full output. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the picture.")] = None,
    session: Annotated[
        Path | None, typer.Option("--open", help="Go on from a saved session instead of a seed: .draggan, or a PNG.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="PHOTO", help="Drag a photo; points are px of it. Also writes photo.png.")
    ] = None,
    face: FaceOption = None,
    box: BoxOption = None,
    batch: Annotated[Path | None, typer.Option(metavar="EDITS.jsonl", help="Make a file's edits, a line each.")] = None,
    truncation_psi: Annotated[float, typer.Option(min=0, max=1.5, help="Truncation toward the mean face.")] = 0.7,
    mask: Annotated[Path | None, typer.Option(help="8-bit picture of what may move (> 127).")] = None,
    model: Annotated[str | None, typer.Option(help="Model; see draggan models list.")] = None,
    max_steps: Annotated[int, typer.Option(min=1, help="Latent updates at most.")] = 300,
    video: Annotated[Path | None, typer.Option(help="Also write a video: .mp4 or .gif.")] = None,
    watermark: Annotated[bool, typer.Option("--watermark", help="Draw 'synthetic' on what is saved.")] = False,
    launch: Annotated[str, typer.Option(help="Launch file or name: the layout.")] = "",
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the launch's own.")] = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Drag points of a picture and write before.png, after.png, overlay.png, edit.draggan and result.json.

    \b
    draggan drag --seed 7 --point 512,590:560,590 --out out
    draggan drag --seed 7 --point 512,590:560,590 --mask face.png --video out/edit.mp4 --out out
    draggan drag --open out/edit.draggan --point 560,590:512,590 --out back
    draggan drag --image me.jpg --point 812,690:812,670 --out out
    draggan drag --batch edits.jsonl --out out

    Exit code 0 also when --max-steps ends the drag; result.json says why it stopped.

    Each line of a batch is an edit, written to a folder of its own: the line's number, or its id. A line has a seed
    and points; mask (a path beside the file), params (for this edit only), truncation_psi, video (true, "mp4" or
    "gif") and id may be left out:

    \b
    {"seed": 7, "points": [{"handle": [512, 590], "target": [560, 590]}]}
    {"seed": 8, "points": [...], "mask": "face.png", "params": {"tracker.radius": 8, "max_steps": 50}, "id": "chin"}

    results.jsonl has a line for each: what result.json says, or the error. A broken line is named and the others are
    made; exit code 1 then. Ctrl-C keeps what is done, and the same command goes on from there; lines that changed, or
    failed, are made again.
    """
    overrides = [override("display.watermark", watermark), override("drag.max_steps", max_steps)]
    overrides += set_ or []
    if batch is not None:
        own = {"--seed": seed, "--point": point, "--open": session, "--mask": mask, "--video": video, "--image": image}
        if given := [name for name, value in own.items() if value is not None]:
            raise UserError(f"--batch and {given[0]} exclude each other; the lines of {batch} say what to edit")
        edits = Batch(
            batch, out, launch=launch, config=config, set=overrides, model=model, truncation_psi=truncation_psi
        )
        _drag_all(edits, format_)
        return
    where = {"--seed": seed, "--open": session, "--image": image}
    given = [name for name, value in where.items() if value is not None]
    if not given:
        raise UserError("no picture to drag; give --seed N, --open FILE.draggan, --image PHOTO or --batch FILE.jsonl")
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} both say where the picture comes from; give one of them")
    edges = parse_box(box)
    if image is None and (face is not None or edges is not None):
        raise UserError("--face and --box say what to take of a photo; give one with --image PHOTO")
    if not point:
        raise UserError("no point to drag; give --point X,Y:X,Y (handle:target), for example 512,590:560,590")
    points = [parse_point(text) for text in point]
    overrides.insert(0, override("display.out", str(writable_folder(out).resolve())))
    if video is not None:
        writable_folder(video.resolve().parent)
        overrides.insert(0, override("display.video", str(video.resolve())))
    launch = launch or ("record" if video else "local")
    photo = load_photo(image) if image is not None else None
    # Where the points of a photo lie in the picture is known only when its face is found.
    _check([] if image is not None else points, mask, session, launch, config, model, overrides)
    with api.open(
        session, seed=seed, truncation_psi=truncation_psi, launch=launch, config=config, set=overrides, model=model
    ) as running:
        if photo is not None:
            found, _ = watch_inversion(running, photo, face, edges)
            for warning in found.warnings:
                print(f"draggan: {warning}", file=sys.stderr)
            points = [(found.to_picture(handle), found.to_picture(target)) for handle, target in points]
        if mask is not None:
            running.mask(mask)
        with watched(max_steps, "{task.completed} steps") as watch:

            def report(progress: Progress) -> bool:
                watch.show(progress.drag_steps, _going(progress))
                return not watch.interrupted

            made = drag_to_files(running, points, out, launch, report)
        has_photo = photo is not None or running.record.photo is not None
        if has_photo:
            save_png(out / PHOTO, running.photo(), watermark=watermark, source=COMPOSITE)
        cost_file.save(running.app)
    written = FILES + ((PHOTO,) if has_photo else ())
    if format_ is Format.json:
        print_json(made)
    else:
        print(_ended(made))
        print("\n".join(str(path) for path in [*(out / name for name in written), *([video] if video else [])]))
    for warning in made.get("warnings", ()):
        print(f"draggan: {warning}", file=sys.stderr)
    if "error" in made:
        print(f"draggan: {made['error']}", file=sys.stderr)
        raise typer.Exit(1)
    if watch.interrupted:
        raise typer.Exit(INTERRUPTED)


def _check(
    points: list[api.Pair],
    mask: Path | None,
    session: Path | None,
    launch: str,
    config: str | None,
    model: str | None,
    overrides: list[str],
) -> None:
    """Refuse what cannot work before anything is fetched or started."""
    saved = load_session(session) if session is not None else SessionRecord()
    model = model_to_load(model, saved.model, launch, config)
    size = models.find(
        model_of(load_launch(launch, [*saved.overrides(), *overrides], config=config, model=model))
    ).info.size
    api.checked_pairs(points, size)
    if mask is not None:
        load_mask(mask, size)


def _drag_all(edits: Batch, format_: Format) -> None:
    """Make a batch's edits, and say how it goes."""
    for line in sorted(edits.broken):
        print(f"draggan: {edits.named(line)}: {edits.broken[line]}", file=sys.stderr)
    if edits.done:
        print(f"draggan: {edits.done} of {edits.total} edits were done already", file=sys.stderr)
    with watched(edits.total, f"{{task.completed}}/{edits.total}") as watch:

        def report(now: BatchProgress) -> bool:
            watch.show(now.done, f"seed {now.seed}, {_going(now.drag)}" if now.drag else f"seed {now.seed}")
            if now.result is not None:
                made = now.result
                for warning in made.get("warnings", ()):
                    watch.say(f"draggan: {edits.named(now.line)}: {warning}")
                watch.say(f"draggan: {edits.named(now.line)}: {made.get('error') or _ended(made)}")
            return not watch.interrupted

        results = edits.run(report)
    if format_ is Format.json:
        print_json(results)
    else:
        failed = len(results) - edits.done
        print(f"{edits.done} of {edits.total} edits done, {failed} lines with an error: {edits.out / RESULTS}")
    if watch.interrupted:
        print("draggan: interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if any("error" in result for result in results):
        raise typer.Exit(1)


def _going(progress: Progress) -> str:
    left = max(progress.distances.values(), default=0.0)
    return f"{progress.steps_per_second:.1f} steps/s, {left:.1f} px left"


def _ended(made: dict[str, Any]) -> str:
    far = max((point["distance"] or 0.0 for point in made["points"]), default=0.0)
    return (
        f"{made['stopped']} after {made['steps']} steps in {made['seconds']:.1f} s "
        f"({made['steps_per_second']:.1f} steps/s), {far:.1f} px left"
    )
