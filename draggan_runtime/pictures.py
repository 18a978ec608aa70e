"""Picture files. Every one written says that it is synthetic; every one read is checked before it is used.

The mark is IPTC's DigitalSourceType in an XMP packet (IPTC Photo Metadata Standard, Extension schema),
which tools and platforms that label generated media look for.
"""

from __future__ import annotations

import struct
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin

from draggan_runtime.errors import UserError
from draggan_runtime.files import replacing

if TYPE_CHECKING:
    import torch

    from draggan_runtime.messages import Array

Pixels = NDArray[np.uint8]

_SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SYNTHETIC = f"{_SOURCES}trainedAlgorithmicMedia"
#: A photo in which a part is synthetic.
COMPOSITE = f"{_SOURCES}compositeWithTrainedAlgorithmicMedia"

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>{software}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

# Private, ancillary, and to be dropped by editors that change the picture (PNG specification, chunk naming).
_SESSION_CHUNK = b"drGN"

#: What Pillow's readers raise on a file that is cut off or is not a picture.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def to_uint8(image: torch.Tensor) -> torch.Tensor:
    """uint8 ``[H, W, 3]`` of a picture ``[3, H, W]``: ``(x + 1) * 127.5``, rounded half up, clamped."""
    return image.mul(127.5).add_(128).clamp_(0, 255).byte().permute(1, 2, 0).contiguous()


def software() -> str:
    """Name and version of this program, for a file's metadata."""
    try:
        return f"draggan-runtime {version('draggan-runtime')}"
    except PackageNotFoundError:
        return "draggan-runtime"


def xmp_packet(source: str = SYNTHETIC) -> str:
    """The XMP packet that marks a file as made by a trained generator, or partly so."""
    return _PACKET.format(software=software(), source=source)


def pixels(image: Array) -> Pixels:
    """A picture of a message (tensor or array) as a uint8 ``[H, W, 3]`` array.

    Raises ValueError for anything else.
    """
    array: Any = image.cpu().numpy() if hasattr(image, "cpu") else np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"a picture is uint8 [H, W, 3], not {array.dtype} {list(array.shape)}")
    return np.ascontiguousarray(array)


def watermarked(image: Pixels) -> Pixels:
    """``image`` with a small "synthetic" in its lower right corner."""
    picture = Image.fromarray(image)
    height = max(11, round(min(picture.size) * 0.028))
    font = ImageFont.load_default(height)
    margin = height // 2
    ImageDraw.Draw(picture).text(
        (picture.width - margin, picture.height - margin),
        "synthetic",
        font=font,
        anchor="rd",
        fill=(255, 255, 255),
        stroke_width=max(1, height // 12),
        stroke_fill=(0, 0, 0),
    )
    return np.array(picture)


def save_png(
    path: Path | str, image: Array, watermark: bool = False, session: bytes = b"", source: str = SYNTHETIC
) -> None:
    """Write ``image`` (uint8 RGB ``[H, W, 3]``) as a PNG that says it is synthetic; ``watermark`` also draws it.

    ``source``: IPTC's DigitalSourceType, if it is another, or "" for a picture that is real. ``session``: a
    session as bytes, for the picture to carry. The file appears whole or not at all. Raises UserError if the folder
    cannot be written.
    """
    array = pixels(image)
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", software())
    if source:
        text.add_itxt("XML:com.adobe.xmp", xmp_packet(source))
    if session:
        text.add(_SESSION_CHUNK, session)
    with replacing(Path(path)) as part:
        picture = Image.fromarray(watermarked(array) if watermark else array)
        picture.save(part, format="PNG", pnginfo=text, compress_level=4)


def embedded_session(path: Path | str) -> bytes:
    """The session that a PNG carries. Raises UserError if it carries none or cannot be read."""
    picture = _open(Path(path), "picture")
    chunks = getattr(picture, "private_chunks", [])
    found = [chunk[1] for chunk in chunks if chunk[0] == _SESSION_CHUNK]
    if not found:
        raise UserError(f"{path} carries no session; open a .draggan file, or a PNG that this program saved")
    return bytes(found[0])


def load_picture(path: Path | str) -> Pixels:
    """The picture in a file as uint8 RGB ``[H, W, 3]``, turned upright.

    Raises UserError if it cannot be read.
    """
    return np.array(ImageOps.exif_transpose(_open(Path(path), "picture")).convert("RGB"))


def load_mask(path: Path | str, size: tuple[int, int] | None = None) -> Pixels:
    """A painted mask as uint8 ``[H, W]``: 1 where its brightness is above 127 of 255 (may move), else 0 (stays).

    Colours count by their brightness, transparent parts as black, 16 bits by their upper 8. ``size`` (W, H)
    is the picture's. Raises UserError for a file that cannot be read, has another size, or lets nothing
    move.
    """
    picture = _open(Path(path), "mask")
    if size is not None and picture.size != tuple(size):
        raise UserError(
            f"mask {path} is {picture.width}x{picture.height} px, the picture is {size[0]}x{size[1]}: "
            f"paint it on a picture of that size"
        )
    movable = (_brightness(picture, path) > 127).astype(np.uint8)
    if not movable.any():
        raise UserError(f"mask {path} lets nothing move: paint what may move white (above 127 of 255)")
    return movable


def _brightness(picture: Image.Image, path: Path | str) -> Pixels:
    if picture.mode.startswith("I"):
        return np.asarray(np.clip(np.array(picture).astype(np.int64) >> 8, 0, 255), dtype=np.uint8)
    if picture.mode == "F":
        raise UserError(f"mask {path} holds floating-point values: save it as an 8-bit picture")
    if picture.has_transparency_data:
        opaque = picture.convert("RGBA")
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        return np.array(Image.alpha_composite(black, opaque).convert("L"))
    return np.array(picture.convert("L"))


def _open(path: Path, what: str) -> Image.Image:
    try:
        picture = Image.open(path)
        picture.load()
    except FileNotFoundError as error:
        raise UserError(f"{what} {path} does not exist: check the path") from error
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or "it is not a picture, or it is cut off"
        raise UserError(f"cannot read {what} {path}: {reason}; give a PNG or JPEG file") from error
    return picture
