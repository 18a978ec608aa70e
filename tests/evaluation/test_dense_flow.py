"""Points found in two pictures, where it is known how these move."""

import cv2
import numpy as np

from draggan_runtime.evaluation.dense_flow import matches


def texture(seed, size=256, grain=6):
    noise = np.random.RandomState(seed).randn(size, size, 3).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    return np.clip(smooth / smooth.std() * 50 + 128, 0, 255).astype(np.uint8)


def test_points_go_where_the_picture_goes():
    picture = texture(0)
    start, end = matches(picture, np.roll(picture, (-4, 7), axis=(0, 1)), 32, (1, 2))
    assert start.shape == end.shape == (32, 2)
    assert np.linalg.norm(end - start - (7, -4), axis=1).max() < 0.5


def test_points_are_drawn_by_the_seeds_alone():
    first, second = texture(0), np.roll(texture(0), 3, axis=1)
    again, other = matches(first, second, 32, (1, 2)), matches(first, second, 32, (1, 3))
    np.testing.assert_array_equal(matches(first, second, 32, (1, 2)), again)
    assert not np.array_equal(again[0], other[0])
    assert len(np.unique(again[0], axis=0)) == 32


def test_what_is_hidden_in_the_second_picture_is_no_point():
    first = texture(0)
    second = first.copy()
    second[80:180, 80:180] = texture(5)[80:180, 80:180]
    start, end = matches(first, second, 400, (0,))
    hidden = ((start > 95) & (start < 165)).all(axis=1)
    assert hidden.mean() < 0.02  # it is 7% of the picture
    assert np.median(np.linalg.norm(end - start, axis=1)) < 0.05


def test_without_texture_there_are_no_points():
    flat = np.full((256, 256, 3), 90, np.uint8)
    assert matches(flat, flat, 1, (0,)) is None
    half = flat.copy()
    half[:, 128:] = texture(0)[:, 128:]
    start, _ = matches(half, half, 200, (0,))
    assert start[:, 0].min() > 110
