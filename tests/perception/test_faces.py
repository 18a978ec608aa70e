"""Faces in photos of any size: all are found, the largest first, and their landmarks lie where they were put."""

import builtins

import cv2
import numpy as np
import pytest

import draggan_runtime as draggan
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.at_512 import at_512
from draggan_runtime.perception import face_landmarks
from draggan_runtime.perception.face_landmarks import faces, landmarks


@pytest.fixture(scope="module")
def portrait():
    """Seed 7 at 1024, and its one face."""
    pytest.importorskip("dlib")
    try:
        face_landmarks.prepare()
    except UserError as error:
        pytest.skip(str(error))
    with draggan.open(seed=7) as session:
        image = session.image()
    (face,) = faces(image)
    return image, face


def put(image, size, width, corner, degrees=0.0):
    """``image`` turned, ``width`` px wide, with its corner at ``corner`` of a grey photo of ``size``; and the map."""
    scale, angle = width / image.shape[1], np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    small = cv2.resize(image, (width, width), interpolation=cv2.INTER_AREA)
    # The corner is the outer one: half a pixel from the first pixel's centre.
    offset = np.array(corner) - 0.5 + turn @ (0.5, 0.5)
    matrix = np.hstack([turn, offset[:, None]])
    inner = turn / scale
    shift = np.array(corner) - 0.5 + inner @ (0.5, 0.5)
    grey = (118, 118, 118)
    photo = cv2.warpAffine(small, np.hstack([inner, shift[:, None]]), size, flags=cv2.INTER_CUBIC, borderValue=grey)
    return photo, matrix


def mean_distance(face, portrait, matrix):
    expected = portrait.landmarks @ matrix[:, :2].T + matrix[:, 2]
    return np.linalg.norm(face.landmarks - expected, axis=1).mean() / np.hypot(*matrix[:, 0])


def test_landmarks_agree_with_those_of_the_judge(portrait):
    image, face = portrait
    judged = (landmarks(at_512(image)) + 0.5) * 2 - 0.5
    assert np.linalg.norm(face.landmarks - judged, axis=1).mean() < 2


def test_a_rectangle_holds_eyes_nose_and_mouth(portrait):
    _, face = portrait
    left, top, right, bottom = face.rectangle
    inner = face.landmarks[27:]
    assert (inner > (left, top)).all()
    assert (inner < (right, bottom)).all()


@pytest.mark.parametrize(("width", "size"), [(150, (400, 300)), (400, (900, 700)), (3000, (5000, 4000))])
def test_a_face_of_any_size_has_the_same_landmarks(portrait, width, size):
    """Within 1% of the face's picture: 10 px of 1024."""
    image, face = portrait
    photo, matrix = put(image, size, width, (size[0] // 4, size[1] // 8))
    (found,) = faces(photo)
    assert mean_distance(found, face, matrix) < (10 if width < 200 else 5)


def test_all_faces_are_found_the_largest_first(portrait):
    image, face = portrait
    photo, first = put(image, (2000, 1200), 500, (60, 80))
    other, second = put(image, (2000, 1200), 900, (900, 100), degrees=8)
    photo = np.where(other != 118, other, photo)
    found = faces(photo)
    assert len(found) == 2
    for one, matrix in zip(found, (second, first), strict=True):
        assert mean_distance(one, face, matrix) < 8


def test_the_same_photo_gives_the_same_faces(portrait):
    image, face = portrait
    (again,) = faces(image)
    assert again.rectangle == face.rectangle
    assert np.array_equal(again.landmarks, face.landmarks)


def test_a_photo_without_a_face_has_none(portrait):
    assert faces(np.random.RandomState(0).randint(0, 255, (300, 4000, 3), dtype=np.uint8)) == []


def test_without_dlib_one_line_names_the_extra_for_photos(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **more):
        if name == "dlib":
            raise ImportError(name)
        return real(name, *args, **more)

    face_landmarks._judge.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'draggan-runtime\[photo\]'") as caught:
        faces(np.zeros((64, 64, 3), np.uint8))
    assert "\n" not in str(caught.value)
