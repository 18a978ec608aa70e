"""An edited crop goes back into its photo: what was not edited does not change, and there is no seam."""

import cv2
import numpy as np
import pytest
from draggan_nodes.inversion.alignment import Placement, centre_crop, crop
from draggan_nodes.inversion.paste import paste

SIDE = 256


def texture(height=500, width=640):
    """Large and small waves under a little noise."""
    random = np.random.RandomState(0)
    coarse = cv2.resize(random.uniform(40, 215, (6, 8, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(random.normal(0, 40, (height, width, 3)), (0, 0), 2)
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def place(scale, degrees=20.0, centre=(310.4, 255.2)):
    """A crop of 256 px at ``centre``, ``scale`` px of the crop for one of the photo."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = (SIDE - 1) / 2 - turn @ centre
    return Placement(tuple(map(tuple, np.hstack([turn, offset[:, None]]).tolist())), (SIDE, SIDE))


def inside(photo, placement):
    """Which pixels of the photo have their centre in the crop."""
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    in_crop = np.stack([x, y], axis=2) @ placement.to_crop[:, :2].T + placement.to_crop[:, 2]
    return ((in_crop >= -0.5) & (in_crop <= SIDE - 0.5)).all(axis=2)


def changed(a, b):
    return np.abs(a.astype(float) - b)


def edit(picture, column=128, row=120):
    """A disc of 45 px in another colour."""
    return cv2.circle(picture.copy(), (column, row), 45, (250, 30, 60), -1)


PLACES = [0.7, 1.0, 2.9]


@pytest.mark.parametrize("scale", PLACES)
def test_the_unedited_crop_changes_nothing(scale):
    photo, placement = texture(), place(scale)
    assert np.array_equal(paste(photo, crop(photo, placement), None, placement), photo)
    other = texture()[:SIDE, :SIDE][::-1].copy()
    assert np.array_equal(paste(photo, other, other, placement), photo)


@pytest.mark.parametrize("scale", PLACES)
def test_a_crop_that_is_replaced_as_a_whole_is_laid_where_it_was(scale):
    """The same photo in less light is pasted over itself: fitted to it, it is the photo, resampled twice."""
    photo, placement = texture() // 2 + 60, place(scale)
    darker = crop(photo, placement) - np.uint8(40)
    assert changed(paste(photo, darker, None, placement), photo)[inside(photo, placement)].mean() < 1


@pytest.mark.parametrize("scale", PLACES)
def test_what_is_pasted_lies_in_its_place_to_a_tenth_of_a_pixel(scale):
    placement, pasted = place(scale), cv2.GaussianBlur(texture(), (0, 0), 2)
    wall = np.full_like(pasted, 128)
    result = paste(wall, crop(pasted, placement), None, placement)
    half = round(70 / scale)
    part = np.s_[255 - half : 255 + half, 310 - half : 310 + half]
    a, b = (fine(picture)[part] for picture in (pasted, result))
    slopes = np.stack([np.gradient(a, axis=1), np.gradient(a, axis=0)], axis=-1)
    offset = np.linalg.lstsq(slopes.reshape(-1, 2), (a - b).reshape(-1), rcond=None)[0]
    assert np.abs(offset).max() < 0.1


def fine(picture):
    """Without its large waves, which are fitted to the photo's."""
    return picture - cv2.GaussianBlur(picture.astype(float), (0, 0), 8)


@pytest.mark.parametrize("scale", PLACES)
def test_outside_of_the_crop_the_photo_stays_bit_for_bit(scale):
    photo, placement = texture(), place(scale)
    before = photo.copy()
    for reconstruction in (None, crop(photo, placement)):
        result = paste(photo, 255 - crop(photo, placement), reconstruction, placement)
        out = ~inside(photo, placement)
        assert np.array_equal(result[out], photo[out])
        assert changed(result, photo)[~out].mean() > 5
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("scale", PLACES)
def test_an_edit_appears_where_it_was_made_in_its_colour(scale):
    photo, placement = texture(), place(scale)
    shown = crop(photo, placement)
    result = paste(photo, edit(shown), shown, placement)
    assert np.abs(crop(result, placement)[100:140, 108:148].astype(int) - (250, 30, 60)).mean() < 3
    middle = placement.to_photo @ (128, 120, 1)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    distance = np.hypot(x - middle[0], y - middle[1]) * scale
    # The disc, a fiftieth of the crop around it, and what that is smoothed by.
    assert changed(result, photo)[distance > 45 + 32].max() <= 1
    assert changed(result, photo)[distance < 43].mean() > 30


def seam(result, photo, placement):
    """The mean step of what was added, across each side of the crop: px of the photo on either side of the edge."""
    added = result.astype(float) - photo
    across = (np.abs(np.diff(added, axis=axis)).mean(axis=2) for axis in (0, 1))
    mask = inside(photo, placement)
    edges = (np.diff(mask.astype(int), axis=axis) != 0 for axis in (0, 1))
    steps = [step[edge] for step, edge in zip(across, edges, strict=True)]
    return np.concatenate(steps).mean()


@pytest.mark.parametrize("scale", PLACES)
@pytest.mark.parametrize("kind", ["offset", "tilt", "gain"])
def test_a_crop_of_another_light_leaves_no_seam_and_takes_the_photos(scale, kind):
    photo = (texture() // 2 + 50).astype(np.uint8)
    placement = place(scale)
    shown = crop(photo, placement).astype(float)
    slope = np.linspace(-20, 25, SIDE)[None, :, None]
    cast = {"offset": shown + np.array([30, -20, 12]), "tilt": shown + slope, "gain": shown * 1.15}[kind]
    cast = np.clip(np.rint(cast), 0, 255).astype(np.uint8)
    naive = photo.copy()
    lying = cv2.warpAffine(cast, placement.to_photo, photo.shape[1::-1], flags=cv2.INTER_AREA)
    naive[inside(photo, placement)] = lying[inside(photo, placement)]
    result = paste(photo, cast, None, placement)
    assert seam(naive, photo, placement) > 8
    assert seam(result, photo, placement) < 0.1
    off, cast_off = changed(result, photo)[inside(photo, placement)], changed(naive, photo)[inside(photo, placement)]
    assert off.mean() < cast_off.mean() / (8 if kind == "offset" else 2)
    # Nor a step anywhere inside.
    added = result.astype(float) - photo
    assert max(np.abs(np.diff(cv2.GaussianBlur(added, (0, 0), 4), axis=axis)).max() for axis in (0, 1)) < 2.5


def test_an_edit_on_a_reconstruction_of_another_light_takes_the_light_around_it():
    """The inversion is 25 levels too bright: the photo around an edit is kept, and the edit is darkened alike."""
    photo = (texture() // 2 + 40).astype(np.uint8)
    placement = place(1.0)
    reconstruction = crop(photo, placement) + np.uint8(25)
    edited = cv2.circle(reconstruction.copy(), (128, 120), 45, (150, 120, 110), -1)
    shown = crop(paste(photo, edited, reconstruction, placement), placement).astype(float)
    assert np.abs(shown[100:140, 108:148] - (125, 95, 85)).mean() < 3
    assert changed(shown, crop(photo, placement))[210:].max() <= 1


def test_detail_finer_than_the_crops_stays_where_nothing_was_edited_and_goes_where_it_was():
    photo = texture(1400, 1400)
    photo[::2] //= 2  # lines that a crop of a fifth of the size cannot hold
    placement = place(0.2, 0, (699.5, 699.5))
    shown = crop(photo, placement)
    result = paste(photo, edit(shown), shown, placement)
    assert np.array_equal(result[:300], photo[:300])
    middle = placement.to_photo @ (128, 120, 1)
    column, row = np.rint(middle).astype(int)
    assert np.abs(np.diff(result[row - 60 : row + 60, column].astype(int), axis=0)).mean() < 1


def test_a_crop_that_leaves_the_photo_is_pasted_up_to_the_photos_edge():
    photo = (texture() // 2 + 50).astype(np.uint8)
    placement = place(1.0, 10, (30, 255))
    shown = crop(photo, placement)
    result = paste(photo, edit(shown, 140), shown, placement)
    assert (result[150:350, 0] == photo[150:350, 0]).mean() > 0.3
    cast = paste(photo, np.clip(shown.astype(int) + 20, 0, 255).astype(np.uint8), None, placement)
    assert changed(cast, photo)[inside(photo, placement)].mean() < 3
    out = ~inside(photo, placement)
    assert np.array_equal(cast[out], photo[out])


def test_a_crop_that_is_not_square_is_pasted_as_well():
    photo = texture()
    placement = centre_crop((640, 500), (256, 128), (100, 100, 500, 300))
    shown = crop(photo, placement)
    assert np.array_equal(paste(photo, shown, shown, placement), photo)
    result = paste(photo, edit(shown, 128, 64), shown, placement)
    assert changed(result, photo)[195:205, 295:305].mean() > 30


def test_a_huge_photo_is_touched_only_around_the_face():
    photo = np.full((8000, 8000, 3), 120, np.uint8)
    photo[3300:4700, 3300:4700] = texture(1400, 1400)
    placement = place(0.2, 0, (4000, 4000))
    result = paste(photo, edit(crop(photo, placement)), None, placement)
    rows, columns = np.nonzero((result != photo).any(axis=2))
    assert rows.size
    assert min(rows.min(), columns.min()) > 3300
    assert max(rows.max(), columns.max()) < 4700


def test_a_picture_of_another_size_is_refused():
    photo, placement = texture(), place(1.0)
    with pytest.raises(ValueError, match="256x256 px was to be pasted"):
        paste(photo, np.zeros((128, 128, 3), np.uint8), None, placement)
