"""Both preprocessings against the code they copy: cv2's chain and transformers."""

import dataclasses

import cv2
import numpy as np
import pytest
from PIL import Image
from transformers.models.dpt.image_processing_pil_dpt import (
    DPTImageProcessorPil,
    get_resize_output_image_size,
)

from jax_depth.config import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EncoderConfig,
    HybridConfig,
    ModelConfig,
)
from jax_depth.inference.preprocess import MAX_TOKENS, preprocess, processing_size

CONFIG = ModelConfig(
    name="test",
    encoder=EncoderConfig(width=64, depth=1, heads=1, taps=()),
    head=None,
    kind="features",
)

# (height, width): photos, tiny, elongated, odd, equal to the size, above and below.
SIZES = [
    (480, 640),
    (240, 320),
    (1080, 1920),
    (360, 640),
    (300, 400),
    (640, 480),
    (518, 518),
    (518, 686),
    (517, 519),
    (1000, 1000),
    (301, 299),
    (37, 41),
    (1, 1),
    (1, 2),
    (3, 2),
    (14, 14),
    (1, 8),
    (9, 1),
    (20, 170),
    (900, 100),
    (2000, 333),
    (5, 47),
    (1201, 1599),
    (1512, 2016),
]


def _photo(height, width):
    """Smooth shading with noise on it, so that clipping and overshoot both occur."""
    rng = np.random.default_rng(height * 7919 + width)
    y, x = np.mgrid[:height, :width]
    shade = 128 + 120 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None]
    noise = rng.integers(-60, 61, (height, width, 3))
    return (shade + noise).clip(0, 255).astype(np.uint8)


def _upstream_size(height, width, size, multiple):
    """`Resize.get_size` of the original with resize_method="lower_bound"."""
    scale = max(size / height, size / width)

    def constrain(value):
        rounded = (np.round(value / multiple) * multiple).astype(int)
        if rounded < size:
            rounded = (np.ceil(value / multiple) * multiple).astype(int)
        return int(rounded)

    return constrain(scale * height), constrain(scale * width)


def _upstream_pixels(photo, size=518, multiple=14):
    """`image2tensor` of the original after imread: Resize, NormalizeImage, cast."""
    image = photo / 255.0
    rows, columns = _upstream_size(*photo.shape[:2], size, multiple)
    image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_CUBIC)
    image = (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return np.ascontiguousarray(np.transpose(image, (2, 0, 1))).astype(np.float32)


def _processor(size=518, multiple=14, **changes):
    """The processor as `preprocessor_config.json` of the published models sets it."""
    return DPTImageProcessorPil(
        size={"height": size, "width": size},
        keep_aspect_ratio=True,
        ensure_multiple_of=multiple,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
        **changes,
    )


def _processor_pixels(photo, size=518, multiple=14):
    processed = _processor(size, multiple)(
        photo, return_tensors="np", input_data_format="channels_last"
    )
    return processed["pixel_values"]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_original_equals_the_cv2_chain(height, width):
    photo = _photo(height, width)
    pixels = preprocess(photo, CONFIG)
    expected = _upstream_pixels(photo).transpose(1, 2, 0)[None]
    assert pixels.dtype == np.float32
    assert pixels.shape == expected.shape
    # Eight ulp at 2.6: two sums of four products in float32 where upstream has float64.
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=2e-6)


def test_finer_pictures_equal_the_cv2_chain_in_float64():
    unit = (_photo(300, 400) / 255).astype(np.float32)
    expected = _upstream_pixels(unit.astype(np.float64) * 255).transpose(1, 2, 0)
    # One ulp at 2.6.
    np.testing.assert_allclose(preprocess(unit, CONFIG)[0], expected, atol=2.4e-7)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_transformers_equals_its_processor(height, width):
    photo = _photo(height, width)
    pixels = preprocess(photo, CONFIG, resample="transformers")
    expected = _processor_pixels(photo).transpose(0, 2, 3, 1)
    assert pixels.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("size", [252, 500, 1036])
def test_both_at_other_sizes(size):
    photo = _photo(333, 500)
    np.testing.assert_allclose(
        preprocess(photo, CONFIG, size=size),
        _upstream_pixels(photo, size).transpose(1, 2, 0)[None],
        rtol=0,
        atol=2e-6,
    )
    np.testing.assert_array_equal(
        preprocess(photo, CONFIG, size=size, resample="transformers"),
        _processor_pixels(photo, size).transpose(0, 2, 3, 1),
    )


def test_size_patch_mean_and_std_come_from_the_config():
    config = dataclasses.replace(
        CONFIG,
        encoder=HybridConfig(),
        image_size=224,
        mean=(0.5, 0.4, 0.3),
        std=(0.5, 0.25, 0.2),
    )
    photo = np.full((100, 300, 3), 255, np.uint8)
    for resample in ("original", "transformers"):
        pixels = preprocess(photo, config, resample=resample)
        np.testing.assert_allclose(pixels[0, 0, 0], [1, 2.4, 3.5], rtol=1e-6)
    assert preprocess(photo, config).shape == (1, 224, 672, 3)
    assert preprocess(photo, config, resample="transformers").shape == (1, 80, 224, 3)


def test_sizes_of_both_rules_on_a_sweep():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 3000, (2000, 2)).tolist():
        size, multiple = int(rng.integers(14, 1200)), int(rng.choice([14, 16, 32]))
        limits = {"max_tokens": 10**12}
        assert processing_size(
            height, width, size, multiple, "original", **limits
        ) == _upstream_size(height, width, size, multiple)
        expected = get_resize_output_image_size(
            np.broadcast_to(np.uint8(0), (3, height, width)),
            (size, size),
            keep_aspect_ratio=True,
            multiple=multiple,
        )
        if expected.height and expected.width:
            assert processing_size(
                height, width, size, multiple, "transformers", **limits
            ) == (expected.height, expected.width)
        else:
            with pytest.raises(ValueError, match=r"too elongated|too small"):
                processing_size(height, width, size, multiple, "transformers")


@pytest.mark.parametrize(
    ("height", "width", "original", "transformers"),
    [
        (480, 640, (518, 686), (518, 686)),
        (1080, 1920, (518, 924), (518, 924)),
        (240, 320, (518, 686), (392, 518)),
        (360, 640, (518, 924), (294, 518)),
        (300, 400, (518, 686), (392, 518)),
    ],
)
def test_published_sizes(height, width, original, transformers):
    assert processing_size(height, width, 518, 14) == original
    assert processing_size(height, width, 518, 14, "transformers") == transformers


@pytest.mark.parametrize(("height", "width"), [(20, 30000), (30000, 20), (4000, 5)])
def test_elongated_pictures_are_refused_in_one_sentence(height, width):
    photo = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(ValueError) as original:
        preprocess(photo, CONFIG, name="strip.png")
    long = max(processing_size(height, width, 518, 14, max_tokens=10**12))
    message = str(original.value)
    assert message.startswith(f"'strip.png' of {width} x {height} pixels would")
    assert f"{long}" in message and f"{37 * long // 14} patches" in message
    assert "crop" in message and "\n" not in message
    with pytest.raises(ValueError, match=r"too elongated.*crop it"):
        preprocess(photo, CONFIG, resample="transformers")
    # The processor itself has nothing better to offer.
    with pytest.raises(ValueError):
        _processor_pixels(photo)


def test_the_token_limit_is_the_last_size_accepted():
    side = int(MAX_TOKENS**0.5)
    assert processing_size(9, 9, side * 14, 14) == (side * 14, side * 14)
    with pytest.raises(ValueError, match=f"{MAX_TOKENS} are allowed"):
        processing_size(9, 9, side * 14 + 1, 14)
    larger = (side + 1) * 14
    assert processing_size(9, 9, side * 14 + 1, 14, max_tokens=(side + 1) ** 2) == (
        larger,
        larger,
    )


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "strip.png"
    Image.new("RGB", (3000, 2)).save(path)
    for source in (path, str(path), Image.open(path)):
        with pytest.raises(ValueError, match=r"strip\.png"):
            preprocess(source, CONFIG)


def test_path_pillow_and_array_give_the_same(tmp_path):
    photo = _photo(50, 70)
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    expected = preprocess(photo, CONFIG)
    np.testing.assert_array_equal(preprocess(path, CONFIG), expected)
    np.testing.assert_array_equal(preprocess(Image.open(path), CONFIG), expected)


def test_float_pictures_equal_uint8_ones():
    photo = np.arange(256, dtype=np.uint8).reshape(8, 32)[..., None].repeat(3, 2)
    unit = (photo / 255).astype(np.float32)
    # float32 rounds x / 255 by 3e-8, which 1 / std makes 1.4e-7; and see above.
    np.testing.assert_allclose(
        preprocess(unit, CONFIG), preprocess(photo, CONFIG), rtol=0, atol=2e-6
    )
    np.testing.assert_array_equal(
        preprocess(unit, CONFIG, resample="transformers"),
        preprocess(photo, CONFIG, resample="transformers"),
    )


def test_transformers_cuts_floats_to_eight_bits_as_its_processor_does():
    photo = np.random.default_rng(0).random((60, 80, 3), np.float32)
    expected = _processor(do_rescale=False)(
        photo, return_tensors="np", input_data_format="channels_last"
    )["pixel_values"]
    np.testing.assert_array_equal(
        preprocess(photo, CONFIG, resample="transformers"),
        expected.transpose(0, 2, 3, 1),
    )


def test_original_uses_all_sixteen_bits():
    photo = np.linspace(30000, 30255, 64).astype(np.uint16).reshape(8, 8)
    pixels = preprocess(photo, CONFIG)
    expected = cv2.resize(photo / 65535.0, (518, 518), interpolation=cv2.INTER_CUBIC)
    expected = (expected - IMAGENET_MEAN[1]) / IMAGENET_STD[1]
    np.testing.assert_allclose(pixels[0, :, :, 1], expected, rtol=0, atol=1e-6)
    assert len(np.unique(pixels)) > 1000


def test_unknown_settings_are_refused(as_installed):
    with pytest.raises(ValueError, match="'cv2' is not known; use one of 'original'"):
        processing_size(4, 4, 518, 14, "cv2")
    with pytest.raises(ValueError, match="size 0 is too small; use at least 14"):
        preprocess(np.zeros((4, 4, 3), np.uint8), CONFIG, size=0)
