"""Augmentation of one RGB-D frame on the host: crop, flip and what cameras do.

Geometry changes picture and disparity together; colour, blur, noise and JPEG change
the picture alone. Everything is drawn from the generator that is passed in, so a
frame's augmentation depends on nothing else.
"""

import dataclasses
import io

import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt8
from PIL import Image, ImageFilter

from jax_depth.config import Resample
from jax_depth.inference.preprocess import Resized, resized_crop
from jax_depth.training.setting import BELOW_1, FROM_0, SHARE, Bounds, setting

_COLOUR_SPREADS = (
    "gamma",
    "contrast",
    "brightness",
    "saturation",
    "channel_gain",
    "grey_share",
    "blur_share",
    "noise_share",
    "jpeg_share",
)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BAND = 32  # rows


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from; a pair is (least, greatest), a `_share` a probability.

    Attributes:
        crop: side of the crop as a share of the largest that fits.
        stretch: the crop's aspect ratio is drawn from [exp(-x), exp(x)].
        gamma: exponent drawn from [exp(-x), exp(x)].
        contrast, brightness, saturation: factors drawn from [1 - x, 1 + x].
        channel_gain: factor per channel drawn from [1 - x, 1 + x].
        blur: radius in pixels of the result.
        noise: standard deviation, of values in [0, 1].
        jpeg: quality.
    """

    crop: tuple[float, float] = setting(Bounds(0, 1, True, ordered=True), (0.5, 1.0))
    stretch: float = setting(FROM_0, 0.25)
    flip_share: float = setting(SHARE, 0.5)
    gamma: float = setting(FROM_0, 0.4)
    # The picture is divided by it.
    contrast: float = setting(BELOW_1, 0.35)
    brightness: float = setting(SHARE, 0.25)
    saturation: float = setting(SHARE, 0.6)
    channel_gain: float = setting(SHARE, 0.12)
    grey_share: float = setting(SHARE, 0.08)
    blur_share: float = setting(SHARE, 0.25)
    blur: tuple[float, float] = setting(Bounds(ordered=True), (0.3, 1.5))
    noise_share: float = setting(SHARE, 0.35)
    noise: tuple[float, float] = setting(Bounds(ordered=True), (0.005, 0.05))
    jpeg_share: float = setting(SHARE, 0.3)
    # The greatest quality is left out of what is drawn.
    jpeg: tuple[int, int] = setting(Bounds(1, 100, ordered=True, strict=True), (25, 90))

    @classmethod
    def flip_only(cls) -> "Augmentation":
        """Return the largest crop that fits, somewhere, mirrored half of the time."""
        none = dict.fromkeys(_COLOUR_SPREADS, 0.0)
        return cls(crop=(1.0, 1.0), stretch=0.0, flip_share=0.5, **none)


def augment(
    rgb: UInt8[np.ndarray, "h w 3"],
    disparity: Float32[np.ndarray, "h w"],
    size: tuple[int, int],
    settings: Augmentation,
    generator: np.random.Generator,
    resample: Resample = "transformers",
) -> tuple[Resized, Float32[np.ndarray, "h2 w2"]]:
    """Return a random view of a frame at `size`, (rows, columns).

    A part is cut out of the frame and resized as `to_network` resizes whole pictures,
    so that a model learns from pictures like those it will see in use.

    Args:
        rgb: sRGB picture.
        disparity: inverse depth; resampled by nearest neighbour, so that no value
            appears between an object and what lies behind it.
        size: of the result.
        settings: what to draw from.
        generator: the only source of chance.
        resample: of the model.

    Returns:
        The picture, float32 nominally in [0, 1] for "original", whose resize
        overshoots at edges, uint8 for "transformers"; and its inverse depth.
    """
    view = draw(rgb.shape[:2], size, settings, generator)
    picture = view.picture(rgb, settings, generator, resample)
    return picture, view.nearest(disparity)


@dataclasses.dataclass(frozen=True)
class View:
    """A part of a frame, to be seen at some size.

    Attributes:
        box: left, top, right, bottom in pixels.
        size: (rows, columns) of the result.
        flip: mirrored.
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    flip: bool

    def picture(
        self,
        rgb: UInt8[np.ndarray, "h w 3"],
        settings: Augmentation,
        generator: np.random.Generator,
        resample: Resample,
    ) -> Resized:
        """Return the part of a picture, its colours changed; see `augment`."""
        left, top, right, bottom = self.box
        view = resized_crop(rgb[top:bottom, left:right], self.size, resample)
        view = _change_colours(view, settings, generator)
        view = _degrade(view, settings, generator)
        view = _to_bytes(view) if resample == "transformers" else _from_bytes(view)
        return view[:, :: -1 if self.flip else 1]

    def nearest(self, values: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h2 w2"]:
        """Return the part of a map of any type, by nearest neighbour as Pillow does."""
        left, top, right, bottom = self.box
        rows = _nearest(top, bottom, self.size[0])
        columns = _nearest(left, right, self.size[1])
        # One after the other is several times faster than both at once.
        return values[rows].take(columns[:: -1 if self.flip else 1], axis=1)


def draw(
    shape: tuple[int, int],
    size: tuple[int, int],
    settings: Augmentation,
    generator: np.random.Generator,
) -> View:
    """Draw a part of a frame of some shape; what `augment` does first."""
    box = _draw_box(shape, size, settings, generator)
    return View(box, size, bool(generator.random() < settings.flip_share))


def _nearest(first: int, end: int, count: int) -> Int64[np.ndarray, " n"]:
    """Return the pixels of an axis that are nearest to `count` even steps."""
    step = (end - first) / count
    # Summed up in turn as in Pillow's Geometry.c, which decides where two are as near.
    places = np.full(count, step)
    places[0] = first + step * 0.5
    return np.cumsum(places).astype(np.int64)


def _draw_box(shape, size, settings, generator) -> tuple[int, int, int, int]:
    """Draw a crop (left, top, right, bottom) with about the aspect of `size`."""
    h, w = shape
    stretch = np.exp(generator.uniform(-settings.stretch, settings.stretch))
    aspect = size[1] / size[0] * stretch
    share = generator.uniform(*settings.crop)
    height = share * min(h, w / aspect)
    width = height * aspect
    top = generator.uniform(0, h - height)
    left = generator.uniform(0, w - width)
    rows, columns = max(1, round(height)), max(1, round(width))
    top, left = min(round(top), h - rows), min(round(left), w - columns)
    return left, top, left + columns, top + rows


def _change_colours(view, settings, generator) -> Float32[np.ndarray, "h w 3"]:
    """Apply gamma, contrast, brightness, saturation, channel gains and grey."""

    def factor(spread):
        return np.float32(1 + generator.uniform(-spread, spread))

    gamma = np.exp(generator.uniform(-settings.gamma, settings.gamma))
    saturation = factor(settings.saturation)
    if generator.random() < settings.grey_share:
        saturation = np.float32(0)
    gain = np.array([factor(settings.channel_gain) for _ in range(3)])
    gain *= factor(settings.brightness)
    contrast = factor(settings.contrast)
    if view.dtype == np.uint8:
        table = (np.arange(256) / 255.0).astype(np.float32) ** np.float32(gamma)
        x = table.take(view)
    elif gamma == 1:
        x = view
    else:
        x = np.clip(view, 0, 1) ** np.float32(gamma)
    # One 3x3 matrix: mix each channel with luma, then gain, then contrast.
    matrix = saturation * np.eye(3, dtype=np.float32)
    matrix += (1 - saturation) * _LUMA[:, None]
    matrix *= gain[None, :] * contrast
    if (matrix == np.eye(3)).all():
        return x
    x = x @ matrix
    x += x.mean() * (1 / contrast - 1)
    return x


def _degrade(
    x, settings, generator
) -> Float32[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w 3"]:
    """Apply blur, noise and JPEG compression, each to a share of the pictures.

    Blur and JPEG work on bytes, which stay bytes where nothing needs more.
    """
    blur = generator.random() < settings.blur_share
    noise = generator.random() < settings.noise_share
    jpeg = generator.random() < settings.jpeg_share
    if blur:
        radius = generator.uniform(*settings.blur)
        picture = Image.fromarray(_to_bytes(x)).filter(ImageFilter.GaussianBlur(radius))
        x = np.asarray(picture)
    if noise:
        scale = np.float32(generator.uniform(*settings.noise))
        grain = generator.standard_normal(x.shape, dtype=np.float32)
        grain *= scale
        grain += _from_bytes(x)
        x = grain
    if jpeg:
        buffer = io.BytesIO()
        quality = int(generator.integers(*settings.jpeg))
        Image.fromarray(_to_bytes(x)).save(buffer, "JPEG", quality=quality)
        x = np.asarray(Image.open(buffer))
    return x


def _from_bytes(picture) -> Float32[np.ndarray, "h w 3"]:
    if picture.dtype != np.uint8:
        return picture
    x = picture.astype(np.float32)
    x /= np.float32(255)
    return x


def _to_bytes(x) -> UInt8[np.ndarray, "h w 3"]:
    if x.dtype == np.uint8:
        return x
    picture = np.empty(x.shape, np.uint8)
    for i in range(0, len(x), _BAND):  # a band stays in a core's cache
        band = np.clip(x[i : i + _BAND], 0, 1)
        band *= 255
        band += 0.5
        picture[i : i + _BAND] = band
    return picture
