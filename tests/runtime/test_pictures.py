"""Picture files: what is written says it is synthetic, what is read is checked."""

from __future__ import annotations

import contextlib
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from draggan_runtime.errors import UserError
from draggan_runtime.files import writable_folder
from draggan_runtime.pictures import load_mask, load_picture, save_png, watermarked, xmp_packet

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def source_type(packet: str) -> str | None:
    """IPTC's digital source type in an XMP packet, read as XML."""
    return ET.fromstring(packet.strip().lstrip("\ufeff")).findtext(f".//{IPTC}")


def saved(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    Image.fromarray(pixels, mode).save(path)
    return path


def test_a_saved_picture_comes_back_pixel_by_pixel(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", picture())
    assert np.array_equal(load_picture(tmp_path / "a.png"), picture())


def test_a_tensor_is_saved_as_well(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", torch.from_numpy(picture()))
    assert np.array_equal(load_picture(tmp_path / "a.png"), picture())


def test_a_saved_picture_says_it_is_synthetic_and_what_made_it(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", picture())
    with Image.open(tmp_path / "a.png") as image:
        assert source_type(image.info["XML:com.adobe.xmp"]) == GENERATED
        assert image.info["Software"].startswith("draggan-runtime")


def test_the_packet_can_be_told_from_other_bytes_of_a_file() -> None:
    assert xmp_packet().startswith("<?xpacket begin=")
    assert xmp_packet().endswith('<?xpacket end="w"?>')


def test_the_watermark_is_drawn_in_the_lower_right_corner_only(tmp_path: Path) -> None:
    grey = np.full((512, 512, 3), 128, np.uint8)
    save_png(tmp_path / "a.png", grey, watermark=True)
    changed = (load_picture(tmp_path / "a.png") != grey).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 480
    assert columns.min() > 400
    assert changed.sum() > 200
    assert (grey == 128).all()
    assert np.array_equal(watermarked(grey), load_picture(tmp_path / "a.png"))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)]
)
def test_anything_but_uint8_rgb_is_refused(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        save_png(tmp_path / "a.png", image)


def test_an_unwritable_folder_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*missing.*choose a folder") as caught:
        save_png(tmp_path / "missing" / "a.png", picture())
    assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        writable_folder(tmp_path / "file" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_picture_that_fails_to_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_png(tmp_path / "a.png", picture())

    def no_space(self: Image.Image, path: Path, **_: object) -> None:
        path.write_bytes(b"half a pic")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", no_space)
    with pytest.raises(UserError, match="No space left"):
        save_png(tmp_path / "a.png", 255 - picture())
    assert np.array_equal(load_picture(tmp_path / "a.png"), picture())
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


LEFT_HALF = np.zeros((48, 64), np.uint8)
LEFT_HALF[:, :32] = 255
MOVABLE = (LEFT_HALF > 127).astype(np.uint8)


def test_a_mask_is_one_where_it_is_brighter_than_127(tmp_path: Path) -> None:
    levels = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    mask = load_mask(saved(tmp_path / "m.png", levels), (256, 2))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask[0], (np.arange(256) > 127).astype(np.uint8))


def test_masks_of_other_kinds_mean_the_same(tmp_path: Path) -> None:
    grey = Image.fromarray(LEFT_HALF)
    grey.convert("RGB").save(tmp_path / "rgb.png")
    grey.convert("1").save(tmp_path / "bit.png")
    grey.convert("P").save(tmp_path / "palette.png")
    grey.save(tmp_path / "jpeg.jpg", quality=95)
    Image.fromarray(LEFT_HALF.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(LEFT_HALF.astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    painted = Image.new("RGBA", grey.size, (255, 255, 255, 0))
    painted.paste((255, 255, 255, 255), (0, 0, 32, 48))
    painted.save(tmp_path / "strokes.png")
    for path in sorted(tmp_path.iterdir()):
        assert np.array_equal(load_mask(path, (64, 48)), MOVABLE), path.name


def test_a_mask_of_another_size_names_both_sizes(tmp_path: Path) -> None:
    saved(tmp_path / "m.png", LEFT_HALF)
    with pytest.raises(UserError, match=r"m\.png is 64x48 px, the picture is 1024x1024"):
        load_mask(tmp_path / "m.png", (1024, 1024))
    assert load_mask(tmp_path / "m.png").shape == (48, 64)


def test_a_mask_that_lets_nothing_move_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing move"):
        load_mask(saved(tmp_path / "m.png", LEFT_HALF // 255), (64, 48))


def test_what_is_not_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_text("not a picture")
    for path, reason in ((tmp_path / "m.png", "not a picture"), (tmp_path / "none.png", "does not exist")):
        with pytest.raises(UserError, match=reason) as caught:
            load_mask(path, (64, 48))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="directory"):
        load_mask(tmp_path, (64, 48))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_picture_cut_off_anywhere_is_a_user_error_unless_only_checksums_are_missing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG")
    whole = buffer.getvalue()
    kept = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.mktemp("cut") / "m.png"
    path.write_bytes(whole[:kept])
    if kept < len(whole) - 24:
        with pytest.raises(UserError):
            load_picture(path)
    else:
        with contextlib.suppress(UserError):
            assert np.array_equal(load_picture(path), picture())
