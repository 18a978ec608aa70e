"""Photographs as they come: any orientation, colour space, depth and size, as upright 8-bit RGB."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ExifTags import Base as Exif

from draggan_runtime.errors import UserError
from draggan_runtime.pictures import UNREADABLE, Pixels

#: Most megapixels of a photo: the largest that phones take have 200.
LARGEST = 201
#: Fewest pixels of a side: a smaller one has no face that a model could be fitted to.
SMALLEST = 64
#: Most megapixels of a photo that is packed to be kept: as PNG such a one has about 100 MB.
KEPT = 64

# No format whose reader runs another program (EPS), or that holds no photograph.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM")
_ADVICE = "give a JPEG, PNG, WebP or TIFF file"

_ROWS = 256
_LIMIT = threading.Lock()

#: By EXIF's orientation: whether rows become columns, and in which order rows and columns are then read.
_TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


def load_photo(path: Path | str) -> Pixels:
    """The photograph in a file as uint8 RGB ``[H, W, 3]``, turned upright as its EXIF data say.

    An embedded colour profile other than sRGB is converted to sRGB; CMYK without one is converted plainly. Grey becomes
    three equal channels, 16 bits their nearest 8. Transparent parts are laid over white, as paper is. Of several frames
    the first counts. Needs about seven bytes a pixel while it reads. Raises UserError for a file that cannot be read,
    is smaller than ``SMALLEST`` px a side, or larger than ``LARGEST`` megapixels.
    """
    path = Path(path)
    try:
        with _any_size(), Image.open(path, formats=_formats()) as picture:
            _check_size(picture, path)
            return _read(picture, f"photo {path}")
    except FileNotFoundError as error:
        raise UserError(f"photo {path} does not exist: check the path") from error
    except UNREADABLE as error:
        raise UserError(f"cannot read photo {path}: {_reason(path, error)}; {_ADVICE}") from error


def pack_photo(photo: Pixels) -> bytes:
    """``photo``, uint8 RGB ``[H, W, 3]``, as a PNG that has nothing but its pixels.

    Raises UserError for more than ``KEPT`` megapixels.
    """
    height, width = photo.shape[:2]
    if width * height > KEPT * 10**6:
        raise UserError(
            f"the photo has {width * height / 1e6:.0f} megapixels, and up to {KEPT} are kept: "
            "once reopened, the session is edited without it"
        )
    file = io.BytesIO()
    Image.fromarray(photo).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def unpack_photo(data: bytes, where: Path | str) -> Pixels:
    """What :func:`pack_photo` packed, from a file of the user's; ``where``: what to call that.

    Raises UserError for anything else.
    """
    try:
        with _any_size(), Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.width * picture.height > KEPT * 10**6:
                raise UserError(
                    f"{where}: its photo has {picture.width}x{picture.height} px, more than {KEPT} megapixels"
                )
            return _read(picture, f"{where}: its photo")
    except UNREADABLE as error:
        raise UserError(f"{where}: its photo is damaged; use another copy of the file") from error


def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]  # some builds of Pillow lack AVIF or JPEG 2000


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Pillow's own limit of 180 megapixels gives way to ours. Of damaged EXIF data it does not warn on stderr."""
    with _LIMIT, warnings.catch_warnings(action="ignore"):
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(picture: Image.Image, path: Path) -> None:
    width, height = picture.size
    if min(width, height) < SMALLEST:
        raise UserError(f"photo {path} is only {width}x{height} px: give one of at least {SMALLEST} px a side")
    if width * height > LARGEST * 10**6:
        raise UserError(
            f"photo {path} is {width}x{height} px, more than {LARGEST} megapixels: make it smaller in another program"
        )


def _read(picture: Image.Image, what: str) -> Pixels:
    picture.load()
    return _upright(_rgb(picture, what), _orientation(picture))


def _reason(path: Path, error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if file.read(12)[4:] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
                return "it is a HEIC photo, which this program does not read"
        return "it is not a photo of a kind that this program reads"
    return getattr(error, "strerror", None) or "it is cut off or damaged"


def _orientation(picture: Image.Image) -> int:
    # EXIF data that are damaged do not spoil the picture.
    with contextlib.suppress(*UNREADABLE, KeyError, TypeError):
        return int(picture.getexif().get(Exif.Orientation, 1))
    return 1


def _upright(image: Pixels, orientation: int) -> Pixels:
    if orientation not in _TURNS:
        return image
    across, rows, columns = _TURNS[orientation]
    turned = image.transpose(1, 0, 2) if across else image
    return np.ascontiguousarray(turned[::rows, ::columns])


def _rgb(picture: Image.Image, what: str) -> Pixels:
    """In strips, so that a large photo is never in memory a third time."""
    convert = _converter(picture, what)
    image = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, _ROWS):
        bottom = min(top + _ROWS, picture.height)
        image[top:bottom] = convert(picture.crop((0, top, picture.width, bottom)))
    return image


def _converter(picture: Image.Image, what: str) -> Callable[[Image.Image], Pixels]:
    """What makes a strip of ``picture`` uint8 RGB."""
    if picture.mode == "F" or (picture.mode == "I" and _deeper_than_16(picture)):
        raise UserError(f"{what} holds values of 32 bits: save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        return _from_16_bits
    profile = _profile(picture)
    if picture.has_transparency_data:
        return partial(_over_white, to_srgb=_transform(profile, "RGB"))
    if picture.mode in ("1", "P"):
        return partial(_through, to_srgb=_transform(profile, "RGB"))
    if (direct := _transform(profile, picture.mode)) is not None:
        return lambda strip: np.asarray(ImageCms.applyTransform(strip, direct))
    return partial(_through, to_srgb=None)


def _deeper_than_16(picture: Image.Image) -> bool:
    low, high = picture.getextrema()
    return low < 0 or high > 65535  # type: ignore[operator]


def _from_16_bits(strip: Image.Image) -> Pixels:
    values = np.asarray(strip).astype(np.uint32)
    grey = ((values + 128) // 257).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _through(strip: Image.Image, to_srgb: ImageCms.ImageCmsTransform | None) -> Pixels:
    rgb = strip.convert("RGB")
    return np.asarray(rgb if to_srgb is None else ImageCms.applyTransform(rgb, to_srgb))


def _over_white(strip: Image.Image, to_srgb: ImageCms.ImageCmsTransform | None) -> Pixels:
    layer = strip.convert("RGBA")
    if to_srgb is not None:
        alpha = layer.getchannel("A")
        layer = Image.fromarray(_through(layer, to_srgb))
        layer.putalpha(alpha)
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))


def _profile(picture: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The embedded profile; None without one, if it is sRGB already, or if it cannot be read."""
    data = picture.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = ImageCms.getProfileDescription(profile)
    except (OSError, ImageCms.PyCMSError):
        return None
    return None if "sRGB" in name else profile


def _transform(profile: ImageCms.ImageCmsProfile | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From ``profile`` to sRGB for pictures of ``mode``; None if the profile is of another kind of picture."""
    if profile is None:
        return None
    try:
        return ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, KeyError, ValueError):
        return None
