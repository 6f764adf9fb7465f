"""How pictures reach Prompt Depth Anything: the authors' way and transformers'."""

import dataclasses

import cv2
import numpy as np
import pytest
from small_models import PROMPT

import jax_depth
from jax_depth.config import IMAGENET_MEAN, IMAGENET_STD
from jax_depth.inference.preprocess import preprocess, processing_size, served

MEAN, STD = np.array([IMAGENET_MEAN, IMAGENET_STD], np.float32)
CONFIG = jax_depth.MODELS["prompt-depth-anything-small"].config


def _photo(height, width):
    rng = np.random.default_rng(height * 7919 + width)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def _authors(photo, longest=1008):
    """`load_image` of promptda/utils/io_wrapper.py, and the network's normalisation."""
    image = photo.astype(np.float32) / 255.0
    if max(image.shape) > longest:
        h, w = image.shape[:2]
        scale = longest / max(h, w)
        rows, columns = (int(n * scale // 14 * 14) for n in (h, w))
        image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return (image - MEAN) / STD


@pytest.mark.parametrize(
    "size", [(1440, 1920), (1080, 1920), (2016, 1512), (1100, 1010), (1512, 2016)]
)
def test_large_pictures_are_the_authors_to_rounding(size):
    photo = _photo(*size)
    pixels, expected = preprocess(photo, CONFIG)[0], _authors(photo)
    assert pixels.shape == expected.shape and max(pixels.shape) <= 1008
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=2e-6)


def test_a_picture_that_fits_is_left_alone():
    photo = _photo(560, 1008)
    np.testing.assert_allclose(
        preprocess(photo, CONFIG)[0], _authors(photo), rtol=0, atol=1e-6
    )


def test_smaller_pictures_are_cut_down_to_the_multiple_and_never_enlarged():
    # The authors' network refuses these.
    photo = _photo(480, 640)
    pixels = preprocess(photo, CONFIG)
    assert pixels.shape == (1, 476, 630, 3)
    image = photo.astype(np.float32) / 255
    expected = cv2.resize(image, (630, 476), interpolation=cv2.INTER_AREA)
    expected = (expected - MEAN) / STD
    np.testing.assert_allclose(pixels[0], expected, rtol=0, atol=2e-6)
    assert processing_size(192, 256, 1008, 14, "shrink_area") == (182, 252)
    for rows, columns in ((13, 200), (200, 13), (10, 2000)):
        words = f"{columns} x {rows} pixels.* patch of 14"
        with pytest.raises(ValueError, match=words):
            preprocess(_photo(rows, columns), CONFIG)
    with pytest.raises(ValueError, match="size 13 is too small"):
        preprocess(photo, CONFIG, 13)
    assert preprocess(photo, CONFIG, 100).shape == (1, 70, 98, 3)


def test_float_pictures_keep_their_bits():
    photo = _photo(1200, 1600).astype(np.float32) / 255 * np.float32(0.999)
    image = cv2.resize(photo, (1008, 756), interpolation=cv2.INTER_AREA)
    expected = (image - MEAN) / STD
    np.testing.assert_allclose(preprocess(photo, CONFIG)[0], expected, atol=2e-6)


@pytest.mark.parametrize("size", [(1080, 1920), (480, 640), (192, 256), (900, 700)])
def test_transformers_pictures_are_its_processors(size):
    from transformers.models.prompt_depth_anything import (
        image_processing_pil_prompt_depth_anything as theirs,
    )

    processor = theirs.PromptDepthAnythingImageProcessorPil(
        size={"height": 756, "width": 756},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )
    photo = _photo(*size)
    expected = processor(photo, return_tensors="np", input_data_format="channels_last")
    expected = np.moveaxis(expected["pixel_values"], 1, -1)
    pixels = preprocess(photo, CONFIG, resample="transformers")
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=1e-6)


def test_a_protocol_given_by_hand_sets_both_ways_and_the_size():
    own = (CONFIG.resample, CONFIG.restore, CONFIG.image_size)
    assert own == ("shrink_area", "half_pixel", 1008)
    theirs = served(CONFIG, resample="transformers")
    found = (theirs.resample, theirs.restore, theirs.image_size)
    assert found == ("transformers", "bicubic", 756)
    assert served(CONFIG, 518, "transformers").image_size == 518
    # "As the original code does" is what this model does by itself.
    assert served(CONFIG, resample="original") == CONFIG
    small = dataclasses.replace(PROMPT, resample="shrink_area", image_size=1008)
    estimator = jax_depth.Estimator({}, small, resample="transformers")
    assert (estimator.size, estimator.resample) == (756, "transformers")
