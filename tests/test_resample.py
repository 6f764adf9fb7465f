"""Resizes at the ends of inference, against cv2 and torch themselves."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from jax_depth.config import EncoderConfig, ModelConfig
from jax_depth.inference import bands
from jax_depth.inference.preprocess import from_network
from jax_depth.inference.resample import resize_bilinear, resize_cubic

CUBIC_SIZES = [
    ((48, 64), (42, 56)),
    ((37, 41), (70, 84)),
    ((240, 320), (518, 686)),
    ((1, 1), (14, 28)),
    ((1, 9), (28, 252)),
    ((9, 2), (126, 28)),
    ((3, 5), (3, 5)),
    ((300, 4), (14, 1)),
    # Positions near 4000 lose four decimals in float32: shows that they are made in
    # it, as cv2 makes them.
    ((30, 4000), (14, 686)),
    ((3000, 20), (518, 14)),
]


@pytest.mark.parametrize(("before", "after"), CUBIC_SIZES)
def test_cubic_equals_cv2_on_float64(before, after):
    image = np.random.default_rng(0).random((*before, 3))
    expected = cv2.resize(image, after[::-1], interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(resize_cubic(image, after), expected, rtol=0, atol=4e-15)


def test_cubic_does_not_round_or_clip_uint8():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    result = resize_cubic(image, (42, 70))
    expected = cv2.resize(image / 255.0, (70, 42), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(result / 255, expected, rtol=0, atol=4e-15)
    assert result.min() < 0 and result.max() > 255


def test_cubic_takes_any_number_of_channels_and_float32():
    image = np.random.default_rng(0).random((11, 17, 2), np.float32)
    expected = cv2.resize(
        image.astype(np.float64), (28, 14), interpolation=cv2.INTER_CUBIC
    )
    np.testing.assert_allclose(
        resize_cubic(image, (14, 28)), expected, rtol=0, atol=4e-15
    )


def test_strips_and_groups_fit_together(monkeypatch):
    image = np.random.default_rng(0).random((53, 61, 3))
    whole = resize_cubic(image, (98, 84))
    monkeypatch.setattr(bands, "_CACHED", 400)
    monkeypatch.setattr(bands, "_ROWS", 10)
    np.testing.assert_allclose(resize_cubic(image, (98, 84)), whole, atol=4e-15)


BILINEAR_SIZES = [
    ((518, 686), (480, 640)),
    ((518, 518), (1500, 2000)),
    ((14, 28), (7, 300)),
    ((28, 14), (28, 14)),
    ((14, 14), (1, 1)),
    ((14, 28), (1, 5)),
    ((1, 14), (9, 2)),
    ((2, 1), (5, 4)),
    ((1, 1), (3, 2)),
]


@pytest.mark.parametrize(("before", "after"), BILINEAR_SIZES)
@pytest.mark.parametrize("restore", ["aligned", "half_pixel", "bicubic"])
def test_maps_come_back_as_torch_brings_them(before, after, restore):
    values = np.random.default_rng(0).random(before, np.float32) * np.float32(100)
    bilinear = {"mode": "bilinear", "align_corners": restore == "aligned"}
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None],
        after,
        **({"mode": "bicubic"} if restore == "bicubic" else bilinear),
    )[0, 0].numpy()
    config = ModelConfig("a", EncoderConfig(64, 1, 1, ()), None, "features")
    config = dataclasses.replace(config, restore=restore)
    result = from_network(values, config, after)
    assert result.dtype == np.float32
    # Five roundings at 100: torch fuses multiply and add where the processor can.
    tolerance = 1e-4 if restore == "bicubic" else 5 * np.spacing(np.float32(100))
    np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)
    if restore == "bicubic" and before[0] > 28:
        assert result.min() < 0 or result.max() > 100


def test_bilinear_keeps_the_corners():
    values = np.array([[1, 2, 4], [8, 16, 32]], np.float32)
    result = resize_bilinear(values, (50, 70))
    corners = result[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(corners, [1, 4, 8, 32], rtol=1e-6)
