"""Photos as they come: whatever the file holds is upright 8-bit RGB, or one line says what is wrong with it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from draggan_runtime.errors import UserError
from draggan_runtime.photos import load_photo, pack_photo, unpack_photo

ORIENTATION = 0x0112


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth, so that JPEG keeps it, and different in every corner and channel."""
    y, x = np.mgrid[:height, :width]
    channels = x * 200 // width + 20, y * 180 // height + 40, (x + y) * 60 // height + 30
    return np.stack(channels, axis=2).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray | Image.Image, **more: object) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **more)
    return path


def off(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_photo(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "ppm"])
def test_a_photo_comes_back_pixel_by_pixel(tmp_path: Path, suffix: str) -> None:
    more = {"lossless": True} if suffix == "webp" else {}
    photo = load_photo(saved(tmp_path / f"a.{suffix}", scene(), **more))
    assert photo.dtype == np.uint8
    assert photo.flags.c_contiguous
    assert np.array_equal(photo, scene())


def test_a_photo_taller_than_the_strips_it_is_read_in_is_whole(tmp_path: Path) -> None:
    assert np.array_equal(load_photo(saved(tmp_path / "a.png", scene(700, 80))), scene(700, 80))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_camera_was(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / f"a.{suffix}", scene(), exif=exif)
    with Image.open(path) as picture:
        expected = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    assert expected.shape == ((96, 128, 3) if orientation < 5 else (128, 96, 3))
    assert np.array_equal(load_photo(path), expected)


def test_damaged_exif_data_do_not_spoil_the_photo(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", scene(), exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\xffrubbish")
    assert np.array_equal(load_photo(path), scene())


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = scene()[:, :, 0]
    photo = load_photo(saved(tmp_path / "a.png", grey))
    assert all(np.array_equal(photo[:, :, channel], grey) for channel in range(3))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_become_the_nearest_of_eight(tmp_path: Path, suffix: str) -> None:
    deep = np.linspace(0, 65535, 96 * 128).astype(np.uint16).reshape(96, 128)
    photo = load_photo(saved(tmp_path / f"a.{suffix}", deep))
    assert np.array_equal(photo[:, :, 1], np.rint(deep / 257).astype(np.uint8))


def test_a_palette_is_looked_up_and_a_bit_is_black_or_white(tmp_path: Path) -> None:
    palette = Image.fromarray(scene()).quantize(64)
    assert np.array_equal(load_photo(saved(tmp_path / "p.png", palette)), np.array(palette.convert("RGB")))
    bits = scene()[:, :, 0] > 100
    assert np.array_equal(load_photo(saved(tmp_path / "b.png", bits))[:, :, 0], bits * np.uint8(255))


def test_what_is_transparent_shows_white_paper(tmp_path: Path) -> None:
    alpha = np.zeros((96, 128), np.uint8)
    alpha[:, 40:80], alpha[:, 80:] = 128, 255
    expected = (scene() * (alpha[:, :, None] / 255) + 255 * (1 - alpha[:, :, None] / 255)).round()
    photo = load_photo(saved(tmp_path / "a.png", np.dstack([scene(), alpha])))
    assert (photo[:, :40] == 255).all()
    assert np.array_equal(photo[:, 80:], scene()[:, 80:])
    assert off(photo, expected.astype(int)) <= 1
    grey = Image.fromarray(scene()[:, :, 0])
    grey.putalpha(Image.fromarray(alpha))
    assert off(load_photo(saved(tmp_path / "la.png", grey))[:, 40:80, 0], expected[:, 40:80, 0].astype(int)) <= 1
    palette = Image.fromarray(np.tile(np.arange(128, dtype=np.uint8), (96, 1)), "P")
    palette.putpalette(list(range(256)) * 3)
    assert (load_photo(saved(tmp_path / "p.png", palette, transparency=5))[:, 5] == 255).all()


def test_cmyk_without_a_profile_is_converted_plainly(tmp_path: Path) -> None:
    ink = Image.fromarray(scene()).convert("CMYK")
    assert off(load_photo(saved(tmp_path / "a.tif", ink)), np.array(ink.convert("RGB"))) == 0
    assert off(load_photo(saved(tmp_path / "a.jpg", ink, quality=98)), scene()) < 12


def profile(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def linear_profile() -> bytes:
    """sRGB's profile with its tone curves replaced by a straight line, and called something else."""
    data = bytearray(profile("sRGB"))
    count = int.from_bytes(data[128:132], "big")
    for entry in range(132, 132 + 12 * count, 12):
        name, place = bytes(data[entry : entry + 4]), int.from_bytes(data[entry + 4 : entry + 8], "big")
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[place : place + 12] = b"curv" + bytes(8)
            data[entry + 8 : entry + 12] = (12).to_bytes(4, "big")
    return bytes(data).replace("sRGB".encode("utf-16-be"), "line".encode("utf-16-be"))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colours_of_another_profile_become_srgb(tmp_path: Path, suffix: str) -> None:
    """A linear picture's values go through sRGB's curve (IEC 61966-2-1)."""
    photo = load_photo(saved(tmp_path / f"a.{suffix}", scene(), icc_profile=linear_profile()))
    light = scene() / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(photo - expected).max() <= 2
    layered = np.dstack([scene(), np.full((96, 128), 255, np.uint8)])
    assert off(load_photo(saved(tmp_path / f"b.{suffix}", layered, icc_profile=linear_profile())), photo) == 0


def test_srgb_stays_as_it_is_and_a_broken_or_foreign_profile_is_passed_over(tmp_path: Path) -> None:
    for data in (profile("sRGB"), b"no profile at all", profile("LAB")):
        assert np.array_equal(load_photo(saved(tmp_path / "a.png", scene(), icc_profile=data)), scene())


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = (Image.fromarray(pixels).quantize(32) for pixels in (scene(), 255 - scene()))
    path = saved(tmp_path / "a.gif", first, save_all=True, append_images=[second])
    assert off(load_photo(path), np.array(first.convert("RGB"))) == 0


def test_a_photo_of_8000_px_a_side_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.linear_gradient("L").resize((8000, 8000)), quality=60)
    photo = load_photo(path)
    assert photo.shape == (8000, 8000, 3)
    assert off(photo[::500, 4000, 0], np.linspace(0, 255, 8000)[::500].astype(int)) < 4


def test_more_megapixels_than_any_phone_takes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    path = saved(tmp_path / "a.png", Image.new("1", (20000, 11000)))
    assert "20000x11000 px, more than 201 megapixels" in refusal(path)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_tiny_photo_says_how_large_one_must_be(tmp_path: Path) -> None:
    assert "only 200x63 px: give one of at least 64 px" in refusal(saved(tmp_path / "a.png", scene(63, 200)))
    assert load_photo(saved(tmp_path / "b.png", scene(64, 64))).shape == (64, 64, 3)


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "missing.jpg")
    assert "Is a directory" in refusal(tmp_path)
    (tmp_path / "text.jpg").write_text("Dear diary,\n")
    assert "not a photo of a kind" in refusal(tmp_path / "text.jpg")
    (tmp_path / "empty.png").write_bytes(b"")
    assert "not a photo of a kind" in refusal(tmp_path / "empty.png")
    (tmp_path / "phone.jpg").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(100))
    assert re.search("HEIC.*give a JPEG", refusal(tmp_path / "phone.jpg"))
    assert "32 bits" in refusal(saved(tmp_path / "f.tif", np.ones((96, 128), np.float32)))


def test_a_program_disguised_as_a_picture_is_not_run(tmp_path: Path) -> None:
    """Pillow hands EPS to Ghostscript."""
    assert "not a photo of a kind" in refusal(saved(tmp_path / "a.eps", scene()))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * part)])
    assert re.search("cut off|not a photo", refusal(path))


def test_a_photo_that_is_packed_has_its_pixels_and_nothing_else(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    packed = pack_photo(load_photo(saved(tmp_path / "a.png", scene(), exif=exif)))
    assert np.array_equal(unpack_photo(packed, "a"), scene())
    assert b"at home" not in packed
    assert {chunk for chunk in (b"eXIf", b"tEXt", b"iTXt", b"tIME") if chunk in packed} == set()


def test_a_photo_of_a_few_pixels_can_be_packed_too() -> None:
    assert np.array_equal(unpack_photo(pack_photo(scene(5, 9)), "a"), scene(5, 9))


def test_a_photo_too_large_to_be_packed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack_photo(scene(1200, 1000))
    monkeypatch.setattr("draggan_runtime.photos.KEPT", 1)
    with pytest.raises(UserError, match="has 1 megapixels, and up to 1 are kept"):
        pack_photo(scene(1200, 1000))
    with pytest.raises(UserError, match=r"a\.draggan: its photo has 1000x1200 px, more than 1 megapixels"):
        unpack_photo(packed, "a.draggan")
