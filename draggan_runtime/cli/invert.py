"""``draggan invert``: the latent of a photo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from draggan_runtime import api, inversion_files
from draggan_runtime.cli.common import (
    INTERRUPTED,
    BoxOption,
    FaceOption,
    Format,
    FormatOption,
    SetOption,
    parse_box,
    print_json,
)
from draggan_runtime.cli.progress import watched
from draggan_runtime.files import writable_folder
from draggan_runtime.messages import Inverting
from draggan_runtime.photos import load_photo
from draggan_runtime.pictures import Pixels


def invert(
    photo: Annotated[Path, typer.Argument(help="A picture file: .jpg, .png, .webp, ...")],
    out: Annotated[Path, typer.Option(help="Folder for what is written.")],
    face: FaceOption = None,
    box: BoxOption = None,
    model: Annotated[str | None, typer.Option(help="Model; see draggan models list.")] = None,
    launch: Annotated[str, typer.Option(help="Launch file or name: the layout.")] = "local",
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the launch's own.")] = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Look for the latent of a photo, and write edit.draggan, latent.npy, pictures to compare and result.json.

    \b
    draggan invert me.jpg --out me
    draggan drag --open me/edit.draggan --point 512,590:560,590 --out out
    draggan invert me.jpg --set source.steps=200 --out me

    The first Ctrl-C takes the best latent so far.
    """
    edges = parse_box(box)
    pixels = load_photo(photo)
    writable_folder(out)
    with api.open(launch=launch, config=config, set=set_ or [], model=model, lazy=True) as session:
        found, interrupted = watch_inversion(session, pixels, face, edges)
        made = inversion_files.write(session, found, photo, out)
    if format_ is Format.json:
        print_json(made)
    else:
        looks = f", hed-vgg16 distance {made['hed_vgg16_distance']:.2f}" if "hed_vgg16_distance" in made else ""
        print(f"{found.steps} steps in {found.seconds:.1f} s; PSNR {made['psnr']:.1f} dB{looks}")
        print("\n".join(str(out / name) for name in inversion_files.FILES if (out / name).exists()))
    for warning in found.warnings:
        print(f"draggan: {warning}", file=sys.stderr)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def watch_inversion(
    session: api.Session, photo: Pixels, face: int | None, box: api.Box | None
) -> tuple[api.Inversion, bool]:
    """:meth:`Session.invert` under a bar, and whether Ctrl-C ended it, with the best latent so far."""
    with watched(1, "{task.completed} steps", what="inverting") as watch:

        def report(now: Inverting) -> bool:
            watch.show(now.done, f"{now.distance:.3f} from the photo, by {now.by}", now.of)
            return not watch.interrupted

        return session.invert(photo, face=face, box=box, progress=report), watch.interrupted
