"""Places and pictures at the scale of judging."""

import numpy as np
import pytest

from draggan_runtime.evaluation.at_512 import from_512, squared_error, to_512


def test_a_cell_at_512_is_four_pixels_at_1024_and_its_centre_lies_between_them():
    assert from_512(np.array([[0.0, 0.0], [255.5, 10.0]]), (1024, 1024)) == [(0.5, 0.5), (511.5, 20.5)]
    np.testing.assert_allclose(to_512(np.array([[0.5, 0.5], [511.5, 20.5]]), (1024, 1024)), [[0, 0], [255.5, 10]])


def test_what_lies_outside_is_put_at_the_border():
    assert from_512(np.array([[-9.0, 600.0]]), (1024, 1024)) == [(0, 1023)]


def test_black_and_white_are_as_far_apart_as_values_of_minus_one_and_one():
    black, white = np.zeros((512, 8, 3), np.uint8), np.full((512, 8, 3), 255, np.uint8)
    half = black.copy()
    half[:256] = 255
    assert squared_error(black, white) == pytest.approx(4)
    assert squared_error(black, half) == squared_error(half, black) == pytest.approx(2)
    assert squared_error(half, half) == 0
