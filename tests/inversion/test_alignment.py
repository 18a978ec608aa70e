"""Where a model's picture lies in a photo: exact to a fraction of a pixel, there and back, at any size."""

import cv2
import numpy as np
import pytest
from draggan_nodes.inversion.alignment import Placement, align, centre_crop, crop
from draggan_nodes.inversion.alignment import placed as placed_in

import draggan_runtime as draggan
from draggan_runtime.errors import UserError
from draggan_runtime.perception import face_landmarks
from draggan_runtime.perception.face_landmarks import faces

#: The outer corners of a picture of 1024 px.
OUTER = np.array([(-0.5, -0.5), (-0.5, 1023.5), (1023.5, 1023.5), (1023.5, -0.5)])


def similarity(scale, degrees, offset):
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.hstack([turn, np.reshape(offset, (2, 1))])


def through(matrix, points):
    return np.asarray(points, float) @ matrix[:, :2].T + matrix[:, 2]


def placed(matrix, size=(256, 256)):
    return Placement(tuple(map(tuple, np.asarray(matrix).tolist())), size)


def marks(left, right, mouth):
    """68 landmarks with the eyes' centres and the middle of the mouth's corners at the given places."""
    landmarks = np.random.RandomState(0).uniform(0, 500, (68, 2))
    ring = 9 * np.array([(np.cos(a), np.sin(a)) for a in np.arange(6) * np.pi / 3])
    landmarks[36:42], landmarks[42:48] = np.array(left) + ring, np.array(right) + ring
    landmarks[48], landmarks[54] = np.array([(-20, 3), (20, -3)]) + mouth
    return landmarks


def ffhq_quad(left, right, mouth):
    """The corners by complex numbers: with e from eye to eye and m from eyes to mouth, half a side is along e - im."""
    left, right, mouth = (complex(*p) for p in (left, right, mouth))
    eyes, e, m = (left + right) / 2, right - left, mouth - (left + right) / 2
    x = e - 1j * m
    x *= max(2 * abs(e), 1.8 * abs(m)) / abs(x)
    y, c = 1j * x, eyes + 0.1 * m
    return np.array([(p.real, p.imag) for p in (c - x - y, c - x + y, c + x + y, c + x - y)])


@pytest.mark.parametrize(
    ("left", "right", "mouth"),
    [
        ((400, 480), (620, 470), (515, 700)),  # upright: eyes to mouth decide
        ((400, 480), (720, 520), (540, 640)),  # wide: eye to eye decides
        ((620, 500), (610, 300), (420, 410)),  # on its side
        ((300.5, 200.25), (250, 205), (270, 130)),  # upside down, small
    ],
)
def test_a_faces_crop_is_ffhqs(left, right, mouth):
    placement = align(marks(left, right, mouth), 512)
    np.testing.assert_allclose(placement.corners, ffhq_quad(left, right, mouth), atol=1e-9)
    np.testing.assert_allclose(through(placement.to_crop, placement.corners), OUTER / 1024 * 512 - 0.25, atol=1e-9)
    assert placement.size == (512, 512)
    side = np.linalg.norm(placement.corners[3] - placement.corners[0])
    assert placement.scale == pytest.approx(512 / side)


def test_a_face_that_is_moved_turned_and_enlarged_has_the_same_crop():
    face = marks((400, 480), (620, 470), (515, 700))
    moved = similarity(2.7, 33, (-120, 300))
    corners = align(through(moved, face)).corners
    np.testing.assert_allclose(corners, through(moved, align(face).corners), atol=1e-9)


def test_landmarks_in_one_place_are_no_face():
    with pytest.raises(UserError, match="lie in one place"):
        align(np.full((68, 2), 7.0))


def waves(size, matrix=None):
    """A smooth picture of long waves, at the places where ``matrix`` takes each pixel."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(float)
    if matrix is not None:
        x, y = (matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2] for i in (0, 1))
    channels = np.sin(x / 37 + y / 61), np.sin(x / 53 - y / 29), np.cos(x / 41) * np.cos(y / 47)
    return 127.5 + 100 * np.stack(channels, axis=2)


@pytest.mark.parametrize("scale", [0.21, 0.5, 0.83, 1.0, 3.3])
@pytest.mark.parametrize("degrees", [0, 17, -100])
def test_a_crop_shows_each_place_of_the_photo_where_the_placement_says(scale, degrees):
    """0.05 px is what OpenCV's cubic kernel, which bends slopes a little, is off by at most."""
    photo = np.rint(waves((900, 800))).astype(np.uint8)
    to_crop = similarity(scale, degrees, (0, 0))
    size = (round(300 * scale), round(260 * scale))
    to_crop[:, 2] = (np.array(size) - 1) / 2 - to_crop[:, :2] @ (451.3, 402.8)
    placement = placed(to_crop, size)
    expected = waves(size, placement.to_photo)
    shown = crop(photo, placement)
    assert shown.shape == (size[1], size[0], 3)
    assert np.abs(shown - expected).mean() < 0.5
    assert np.abs(offset(expected, shown)).max() < 0.06


def offset(a, b):
    """How far ``b`` is from ``a``, px (x, y): least squares on the slopes."""
    slopes = np.stack([np.gradient(a, axis=1), np.gradient(a, axis=0)], axis=-1)[2:-2, 2:-2]
    return np.linalg.lstsq(slopes.reshape(-1, 2), (a - b)[2:-2, 2:-2].reshape(-1), rcond=None)[0]


def test_the_identity_shows_the_photo_itself():
    photo = np.random.RandomState(0).randint(0, 256, (70, 90, 3), dtype=np.uint8)
    assert np.array_equal(crop(photo, placed(np.eye(2, 3), (90, 70))), photo)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_a_crop_of_a_larger_photo_is_the_mean_of_its_pixels(factor):
    photo = np.random.RandomState(0).randint(0, 256, (64 * factor, 96 * factor, 3), dtype=np.uint8)
    placement = centre_crop((96 * factor, 64 * factor), (96, 64))
    mean = photo.reshape(64, factor, 96, factor, 3).mean(axis=(1, 3))
    # The border looks over the edge.
    assert np.abs(crop(photo, placement) - mean)[2:-2, 2:-2].max() <= 1


def test_fine_stripes_of_a_huge_photo_become_grey_not_a_pattern():
    stripes = np.zeros((4000, 4000, 3), np.uint8)
    stripes[:, ::2] = 255
    shown = crop(stripes, placed(similarity(0.117, 20, (100, -60)), (256, 256)))
    assert shown.std() < 2
    assert abs(shown.mean() - 127.5) < 1


def test_a_crop_that_leaves_the_photo_sees_its_mirror_image_fading():
    noise = np.random.RandomState(0).randint(0, 256, (300, 300, 3), dtype=np.uint8)
    shown = crop(noise, placed(np.hstack([np.eye(2), [[120], [0]]]), (256, 256)))  # 120 columns are outside
    assert np.array_equal(shown[:, 120:], noise[:256, :136])
    near, middle, far = (shown[20:-20, a:b].astype(float).std() for a, b in ((117, 120), (60, 90), (0, 20)))
    assert near > 50 > 12 > middle > far
    assert np.abs(shown[:, :20].mean(axis=(0, 1)) - 127.5).max() < 12


def test_a_crop_wholly_outside_is_one_colour_not_an_error():
    shown = crop(waves((80, 80)).astype(np.uint8), placed(np.hstack([np.eye(2), [[5000], [0]]]), (64, 64)))
    assert shown.shape == (64, 64, 3)
    assert shown.std(axis=(0, 1)).max() < 2


@pytest.mark.parametrize("photo", [(3000, 2000), (640, 960)])
@pytest.mark.parametrize("size", [(512, 512), (512, 384), (256, 512)])
def test_without_a_box_the_largest_crop_in_the_middle_is_taken(photo, size):
    corners = centre_crop(photo, size).corners
    np.testing.assert_allclose(corners.mean(axis=0), (np.array(photo) - 1) / 2)
    width, height = corners[2] - corners[0]
    assert width / height == pytest.approx(size[0] / size[1])
    assert width == pytest.approx(photo[0]) or height == pytest.approx(photo[1])
    assert width <= photo[0] + 1e-9
    assert height <= photo[1] + 1e-9


def edges(placement):
    (left, top), _, (right, bottom), _ = placement.corners + 0.5
    return pytest.approx((left, top, right, bottom))


def test_a_box_is_taken_as_it_is_grows_to_the_proportions_and_stays_in_the_photo():
    assert edges(centre_crop((800, 600), (64, 64), (100, 50, 300, 250))) == (100, 50, 300, 250)
    assert edges(centre_crop((800, 600), (128, 64), (100, 100, 300, 300))) == (0, 100, 400, 300)
    assert edges(centre_crop((800, 600), (64, 64), (700, -50, 900, 150))) == (600, 0, 800, 200)
    assert edges(centre_crop((800, 600), (64, 64), (0, 0, 800, 600))) == (100, 0, 700, 600)


@pytest.mark.parametrize("box", [(10, 10, 10, 50), (50, 10, 10, 50), (900, 0, 950, 50), (-50, 0, 0, 50)])
def test_a_box_that_holds_nothing_is_one_line(box):
    with pytest.raises(UserError, match="holds nothing of the photo, which is 800x600 px") as caught:
        centre_crop((800, 600), (64, 64), box)
    assert "\n" not in str(caught.value)


def test_where_a_picture_belonged_is_found_again():
    photo = np.zeros((300, 500, 3), np.uint8)
    for placement in (
        centre_crop((500, 300), (64, 128), (10, 20, 90, 280)),
        align(marks((30, 60), (200, 90), (100, 200)), 1024),
        align(marks((150, 40), (340, 60), (250, 290)), 64),  # larger than the photo
    ):
        assert placed_in(placement.to_crop, photo, placement.size) == placement


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((2, 3)),
        np.full((2, 3), np.inf),
        [[1, 0, 0], [0, 2, 0]],
        [[1, 0, 0], [0, -1, 0]],
        [[1e-200, 0, 0], [0, 1e-200, 0]],
        [[0.01, 0, 0], [0, 0.01, 0]],
        [[1, 0, -600], [0, 1, 0]],
        [[1, 0, 1e300], [0, 1, 0]],
    ],
    ids=["nothing", "no number", "stretched", "mirrored", "huge", "too large", "beside", "far away"],
)
def test_where_no_picture_can_have_been_is_one_line(matrix):
    with pytest.raises(UserError, match="makes no sense"):
        placed_in(matrix, np.zeros((300, 500, 3), np.uint8), (64, 64))


def test_a_placement_is_a_value():
    assert centre_crop((80, 60), (64, 64)) == centre_crop((80, 60), (64, 64))
    assert len({centre_crop((80, 60), (64, 64)), centre_crop((80, 60), (64, 64))}) == 1


@pytest.fixture(scope="module")
def portraits():
    """Six generated faces, which are aligned as their model's training pictures were, and their landmarks."""
    pytest.importorskip("dlib")
    try:
        face_landmarks.prepare()
    except UserError as error:
        pytest.skip(str(error))
    found = []
    for seed in (1, 2, 3, 5, 7, 13):
        with draggan.open(seed=seed) as session:
            image = session.image()
        (face,) = faces(image)
        found.append((image, face.landmarks))
    return found


def test_generated_faces_are_nearly_where_alignment_puts_them(portraits):
    """Not at all exactly: a generated face sits where the model likes it. Measured: corners 2.5 to 13 px of 1024."""
    placements = [align(landmarks) for _, landmarks in portraits]
    offsets = [np.linalg.norm(placement.corners - OUTER, axis=1).mean() for placement in placements]
    assert np.mean(offsets) < 9
    assert max(offsets) < 16
    assert all(placement.scale == pytest.approx(1, abs=0.02) for placement in placements)


@pytest.mark.parametrize(("scale", "degrees"), [(0.35, -12), (1.0, 0), (2.6, 25)])
def test_a_face_put_into_a_photo_is_found_where_it_was_put(portraits, scale, degrees):
    """Compared with the crop of the face by itself; 5 px of 1024 is what dlib's landmarks differ by."""
    image, landmarks = portraits[4]
    to_photo = similarity(scale, degrees, (0, 0))
    size = (round(1900 * scale), round(1700 * scale))
    to_photo[:, 2] = np.array(size) / 2 - to_photo[:, :2] @ (511.5, 511.5)
    reduced = cv2.GaussianBlur(image, (0, 0), 0.5 / scale) if scale < 1 else image
    photo = cv2.warpAffine(reduced, to_photo, size, flags=cv2.INTER_CUBIC, borderValue=(110, 110, 110))
    # By the landmarks themselves: to rounding.
    exact = align(through(to_photo, landmarks))
    np.testing.assert_allclose(exact.corners, through(to_photo, align(landmarks).corners), atol=1e-6)
    shown, original = crop(photo, exact).astype(float), crop(image, align(landmarks)).astype(float)
    inner = slice(120, -120)
    assert shift(original[inner, inner], shown[inner, inner]) < 0.1
    (face,) = faces(photo)
    found = align(face.landmarks)
    assert np.linalg.norm(found.corners - exact.corners, axis=1).max() * exact.scale < 8


def shift(a, b):
    """How far two pictures are apart, px, by phase correlation."""
    grey = (np.float32(picture.mean(axis=2)) for picture in (a, b))
    (x, y), _ = cv2.phaseCorrelate(*grey, cv2.createHanningWindow(a.shape[1::-1], cv2.CV_32F))
    return np.hypot(x, y)
