"""Augmentation: picture and disparity stay together, chance comes from one place."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from jax_depth.training.augment import Augmentation, View, augment

PLAIN = Augmentation(
    crop=(1.0, 1.0), stretch=0.0, flip_share=0.0, gamma=0.0, contrast=0.0,
    brightness=0.0, saturation=0.0, channel_gain=0.0, grey_share=0.0, blur_share=0.0,
    noise_share=0.0, jpeg_share=0.0,
)  # fmt: skip


@pytest.fixture
def frame():
    """A picture whose red channel is its disparity in 255ths."""
    disparity = np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.float32)
    disparity = np.kron(disparity[::8, ::8], np.ones((8, 8), np.float32))
    rgb = np.stack([disparity, 255 - disparity, np.full_like(disparity, 90)], -1)
    return rgb.astype(np.uint8), disparity


def test_without_chance_nothing_changes(frame):
    rgb, disparity = augment(*frame, (48, 64), PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(rgb, frame[0])
    np.testing.assert_array_equal(disparity, frame[1])


@pytest.mark.parametrize("size", [(32, 32), (40, 56)])
def test_geometry_moves_both_alike(frame, size):
    settings = dataclasses.replace(PLAIN, crop=(0.4, 1.0), stretch=0.3, flip_share=0.5)
    views = set()
    for seed in range(20):
        generator = np.random.default_rng(seed)
        rgb, disparity = augment(*frame, size, settings, generator)
        assert rgb.shape == (*size, 3) and rgb.dtype == np.uint8
        assert disparity.shape == size and disparity.dtype == np.float32
        # Resampled differently: pictures by the cubic kernel, which swings a few
        # grey levels beside the edges that 8-pixel squares are full of.
        # A picture that went elsewhere than its depth would be some 60 off.
        assert np.median(np.abs(rgb[..., 0] - disparity)) <= 8
        assert np.isin(disparity, frame[1]).all()
        views.add(disparity.tobytes())
    assert len(views) == 20


def test_colours_leave_disparity_alone_and_flips_happen(frame):
    settings = dataclasses.replace(Augmentation(), crop=(1.0, 1.0), stretch=0.0)
    flipped, seen = 0, set()
    for seed in range(40):
        generator = np.random.default_rng(seed)
        rgb, disparity = augment(*frame, (48, 64), settings, generator)
        is_flip = np.array_equal(disparity, frame[1][:, ::-1])
        assert is_flip or np.array_equal(disparity, frame[1])
        flipped += is_flip
        seen.add(rgb.tobytes())
    assert 8 <= flipped <= 32
    assert len(seen) == 40


def test_the_generator_decides_everything(frame):
    first, second, third = (
        augment(*frame, (32, 32), Augmentation(), np.random.default_rng(seed))[0]
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize("box", [(0, 0, 480, 640), (3, 7, 4, 96), (11, 2, 413, 499)])
def test_depth_is_resampled_as_by_pillow(box):
    values = np.arange(640 * 480, dtype=np.float32).reshape(640, 480)
    for size in ((518, 518), (37, 400), (1, 3)):
        nearest = Image.Resampling.NEAREST
        wanted = Image.fromarray(values).resize(size[::-1], nearest, box)
        found = View(box, size, False).nearest(values)
        np.testing.assert_array_equal(found, np.asarray(wanted))
        mirrored = View(box, size, True).nearest(values)
        np.testing.assert_array_equal(mirrored, np.asarray(wanted)[:, ::-1])


def test_grey_has_no_colour(frame):
    settings = dataclasses.replace(PLAIN, grey_share=1.0)
    rgb, _ = augment(*frame, (48, 64), settings, np.random.default_rng(0))
    luma = frame[0] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(rgb - luma[..., None]).max() <= 1
