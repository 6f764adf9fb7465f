"""Preprocess a picture for a network, and resize its map back.

`to_network` and `from_network` are functions of the config, and everything that runs a
network on pictures (`Estimator`, evaluation, training and its evaluation) uses them.

In: "original" is what the authors' code does (Depth-Anything-V2,
depth_anything_v2/util/transform.py and dpt.py `image2tensor`): the picture is
scaled so that it covers `size` x `size`, with cv2's cubic kernel on floats.
"transformers" is what `DPTImageProcessor` does with the published
`preprocessor_config.json` (transformers, models/dpt/image_processing_pil_dpt.py):
the side that changes least decides the scale, and Pillow resizes the uint8 picture.
The sizes differ only for pictures smaller than `size` (320 x 240 becomes 686 x 518 in
the first, 518 x 392 in the second); the pixels always differ. "shrink_area" is Prompt
Depth Anything's own (DepthAnything/PromptDA promptda/utils/io_wrapper.py,
`load_image`): the long side becomes `size` at most, and nothing is enlarged. Those of
Depth Anything 3 are in `bounded`.

The way back follows `ModelConfig.restore`; each method equals torch's resize.
"""

import dataclasses
import numbers
from typing import Any, TypeAlias, get_args

import numpy as np
from jaxtyping import Float32, UInt8

from jax_depth.config import ModelConfig, Resample
from jax_depth.formats.image import Pixels, label_of, read_image
from jax_depth.formats.reduced import Reduced
from jax_depth.inference import bands, bounded
from jax_depth.inference.resample import (
    area,
    cubic_cv2,
    resize_bicubic,
    resize_bicubic_uint8,
    resize_bilinear,
)
from jax_depth.models.arguments import check_config

Resized: TypeAlias = UInt8[np.ndarray, "h2 w2 3"] | Float32[np.ndarray, "h2 w2 3"]

# Attention in blocks takes memory in proportion to the tokens, its time grows with
# their square. This is 3584 x 3584 pixels for patches of 14: a 4K picture at its full
# size has 42 000 patches, a square of 518 has 1369.
MAX_TOKENS = 256 * 256

# `load_image` halts at 1008 pixels on the long side, transformers' processor of the
# same model aims for 756 on the short one: the same for a picture of 4 to 3.
_SHORT_OF_LONG = 3 / 4


def preprocess(
    image: Any,
    config: ModelConfig,
    size: int | None = None,
    resample: Resample | None = None,
    *,
    max_tokens: int = MAX_TOKENS,
    name: str | None = None,
) -> Float32[np.ndarray, "1 h2 w2 3"]:
    """Read, resize and normalise one picture for the network.

    Args:
        image: a path, a PIL image, or an array (h, w, 3) RGB; everything that
            `jax_depth.formats.image.read_image` takes. OpenCV's arrays are BGR: pass
            `image[..., ::-1]`.
        config: the model; its patch size, `image_size`, `mean` and `std` are used.
        size: short side in pixels to aim for; `config.image_size` by default.
            Larger shows finer detail and costs more. For "shrink_area" the maximum long
            side.
        resample: "original" or "transformers", see above; `config.resample` by
            default, which is the authors' own for every published model.
        max_tokens: refuse pictures that would have more patches than this.
        name: what error messages call the picture; its path by default.

    Returns:
        (1, h', w', 3) RGB, (x - mean) / std with x nominally in [0, 1]: "original"
        overshoots a little at edges, as the authors' code does. h' and w' are multiples
        of the patch size, and keep the aspect ratio up to that rounding. "original"
        keeps the full precision of a float32 or 16-bit picture; "transformers"
        truncates it to 8 bits.

    Raises:
        FileNotFoundError, OSError: from `read_image`.
        TypeError: from `read_image`, or `config` is not a `ModelConfig`.
        ValueError: from `read_image`, or the picture is too elongated to resize, or
            would need more than `max_tokens` patches.
    """
    config = served(config, size, resample)
    if isinstance(image, Reduced):
        return to_network(
            image.pixels,
            config,
            max_tokens=max_tokens,
            label=image.label,
            shape=image.shape,
        )
    return to_network(
        read_image(image, name=name),
        config,
        max_tokens=max_tokens,
        label=label_of(image, name),
    )


def served(
    config: ModelConfig, size: int | None = None, resample: Resample | None = None
) -> ModelConfig:
    """Return `config` with another input size or preprocessing protocol.

    An explicit protocol sets both the resize in and the resize back: "transformers"
    brings maps back bicubically as transformers does, "original" as the model's authors
    do, whatever their protocol is called.

    Args:
        config: the model.
        size: short side in pixels; None for the model's own.
        resample: None for the model's own.
    """
    check_config(config)
    changes: dict[str, Any] = {}
    own = config.resample
    if size is not None:
        changes["image_size"] = size
    elif resample == "transformers" and own == "shrink_area":
        changes["image_size"] = round(config.image_size * _SHORT_OF_LONG)
    if resample == "original" and own == "shrink_area":
        resample = own
    if resample is not None:
        changes["resample"] = resample
        if resample == "transformers":
            changes["restore"] = "bicubic"
        elif resample in bounded.METHODS:
            changes["restore"] = "half_pixel"
        elif config.restore == "bicubic":
            changes["restore"] = "aligned"
    return dataclasses.replace(config, **changes)


def to_network(
    pixels: Pixels,
    config: ModelConfig,
    *,
    max_tokens: int = MAX_TOKENS,
    label: str = "image",
    shape: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
) -> Float32[np.ndarray, "1 h2 w2 3"]:
    """Resize and normalise a picture that was read; the second half of `preprocess`.

    Args:
        pixels: (h, w, 3) RGB, uint8 or float32 in [0, 1].
        config: the model; with another size or protocol by `served`.
        max_tokens: as in `preprocess`.
        label: what error messages call the picture.
        shape: height and width of the full picture if `pixels` were decoded at a
            reduced size (see `formats.reduced`); the result has the size that the full
            picture would get.
        size: (rows, columns) to stretch it to, by the protocol's kernel, in place of
            the protocol's size; the methods of Depth Anything 3 have several kernels
            and take none.

    Raises:
        ValueError: from `processing_size`.
    """
    height, width = shape or (pixels.shape[0], pixels.shape[1])
    own = processing_size(
        height,
        width,
        config.image_size,
        config.encoder.patch_size,
        config.resample,
        max_tokens=max_tokens,
        label=label,
    )
    if config.resample in bounded.METHODS:
        patch = config.encoder.patch_size
        way = bounded.plan(height, width, config.image_size, patch, config.resample)
        result = _normalised(bounded.resize_bounded(pixels, way), config)
    elif config.resample == "transformers":
        resized = resize_bicubic_uint8(_as_bytes(pixels), size or own)
        result = _normalised(resized, config)
    else:
        result = _exact_pixels(pixels, size or own, config)
    return result[None]


def from_network(
    values: Float32[np.ndarray, "h w"], config: ModelConfig, size: tuple[int, int]
) -> Float32[np.ndarray, "h2 w2"]:
    """Resize a network's map of a picture to the picture's own size.

    Args:
        values: the map.
        config: the model, whose `restore` says how.
        size: rows and columns of the picture.
    """
    if config.restore == "bicubic":
        return resize_bicubic(values, size)
    return resize_bilinear(values, size, aligned=config.restore == "aligned")


def resized_crop(pixels: Pixels, size: tuple[int, int], resample: Resample) -> Resized:
    """Resize a part of a picture as `to_network` resizes a whole one.

    Training cuts its crop out of a picture first, and this brings it to the size of a
    batch; normalised it is what the model will see when it is used.

    Args:
        pixels: (h, w, 3) RGB, uint8 or float32 in [0, 1].
        size: (rows, columns) of the result.
        resample: of the model.

    Returns:
        float32 nominally in [0, 1] if "original", which overshoots at edges; uint8 if
        "transformers", whose resize ends in 8 bits. "shrink_area", which enlarges
        nothing, enlarges a small crop as "original" does.
    """
    if resample == "transformers":
        return resize_bicubic_uint8(_as_bytes(pixels), size)
    scale = (1 / 255 if pixels.dtype == np.uint8 else 1.0,) * 3
    kernel = _kernel(pixels, size, resample)
    dtype = _computed_in(pixels, kernel)
    return bands.resize(pixels, kernel, size, dtype, scale=scale, result=np.float32)


def processing_size(
    height: int,
    width: int,
    size: int,
    multiple: int,
    resample: Resample = "original",
    *,
    max_tokens: int = MAX_TOKENS,
    label: str = "image",
) -> tuple[int, int]:
    """Return the size (rows, columns) a picture is processed at.

    Args:
        height, width: of the picture, in pixels.
        size: short side to aim for, in pixels.
        multiple: of which both sides must be: the patch size.
        resample: "original": both sides are at least `size`, each rounded half to
            even to the multiple (`Resize.get_size`, "lower_bound"). "transformers":
            the side whose scale is nearer to 1 becomes `size`, the other follows
            (`get_resize_output_image_size` with `keep_aspect_ratio`); the other can
            end up shorter than `size`. "shrink_area": the longer side becomes `size`
            if it is larger, and each is cut down to the multiple.
        max_tokens: refuse more patches than this.
        label: what error messages call the picture.

    Raises:
        ValueError: `resample` is unknown, `size` is too small, a side is rounded to
            nothing, or there are more than `max_tokens` patches.
    """
    check_options(size, resample, multiple)
    if resample in bounded.METHODS:
        rows, columns = bounded.plan(height, width, size, multiple, resample).final
        _check_processing_size(
            height, width, rows, columns, multiple, max_tokens, label
        )
        return rows, columns
    if resample == "shrink_area":
        rows, columns = _shrunk(height, width, size, multiple)
        if not rows or not columns:
            raise ValueError(
                f"{label} of {width} x {height} pixels would have a side below one "
                f"patch of {multiple} pixels at the network's input size, and this "
                "protocol never enlarges; resample='transformers' does"
            )
        _check_processing_size(
            height, width, rows, columns, multiple, max_tokens, label
        )
        return rows, columns
    # As upstream: two divisions and products that do not always cancel exactly.
    scale_height, scale_width = size / height, size / width
    if resample == "original":
        scale = max(scale_height, scale_width)
        minimum = size
    else:
        width_nearer = abs(1 - scale_width) < abs(1 - scale_height)
        scale = scale_width if width_nearer else scale_height
        minimum = 0
    rows = _to_multiple(scale * height, multiple, minimum)
    columns = _to_multiple(scale * width, multiple, minimum)
    _check_processing_size(height, width, rows, columns, multiple, max_tokens, label)
    return rows, columns


def check_options(size: int, resample: str, multiple: int) -> None:
    """Raise ValueError for options with which no picture can be processed."""
    if resample not in get_args(Resample):
        known = ", ".join(map(repr, get_args(Resample)))
        raise ValueError(f"resample {resample!r} is not known; use one of {known}")
    if not isinstance(size, numbers.Integral):
        raise ValueError(f"size {size!r} is not a whole number of pixels")
    # "transformers" rounds to the nearest multiple, which may be none at all.
    nothing = resample == "transformers" and round(size / multiple) == 0
    nothing |= resample == "shrink_area" and size < multiple
    if size < 1 or nothing:
        raise ValueError(f"size {size} is too small; use at least {multiple}")


def _shrunk(height: int, width: int, size: int, multiple: int) -> tuple[int, int]:
    """Return the size of "shrink_area"; a side may be 0."""
    size = size // multiple * multiple
    # Upstream leaves smaller pictures alone, of which its network takes those whose
    # sides are multiples; and a scale that is rounded down can cost the long side a
    # patch, as here.
    scale = size / max(height, width) if max(height, width) > size else 1.0
    rows, columns = (int(n * scale // multiple) * multiple for n in (height, width))
    return rows, columns


def _to_multiple(length: float, multiple: int, minimum: int) -> int:
    # Python's round is half to even, as np.round in the original.
    rounded = round(length / multiple) * multiple
    if rounded < minimum:
        return int(np.ceil(length / multiple)) * multiple
    return rounded


def _check_processing_size(
    height: int,
    width: int,
    rows: int,
    columns: int,
    multiple: int,
    max_tokens: int,
    label: str,
) -> None:
    picture = f"{label} of {width} x {height} pixels"
    if rows == 0 or columns == 0:
        raise ValueError(
            f"{picture} is too elongated: scaled to fit, its short side would be "
            f"less than half a patch of {multiple} pixels; crop it"
        )
    tokens = (rows // multiple) * (columns // multiple)
    if tokens > max_tokens:
        raise ValueError(
            f"{picture} would be resized to {columns} x {rows}, {tokens} patches, and "
            f"at most {max_tokens} are allowed; crop it or choose a smaller size"
        )


def _exact_pixels(
    pixels: Pixels, size: tuple[int, int], config: ModelConfig
) -> Float32[np.ndarray, "h2 w2 3"]:
    unit = 255.0 if pixels.dtype == np.uint8 else 1.0
    kernel = _kernel(pixels, size, config.resample)
    return bands.resize(
        pixels,
        kernel,
        size,
        _computed_in(pixels, kernel),
        scale=tuple(1 / (unit * std) for std in config.std),
        offset=tuple(-m / s for m, s in zip(config.mean, config.std, strict=True)),
        result=np.float32,
    )


def _kernel(pixels: Pixels, size: tuple[int, int], resample: Resample) -> bands.Kernel:
    smaller = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
    return area if smaller and resample == "shrink_area" else cubic_cv2


def _computed_in(pixels: Pixels, kernel: bands.Kernel) -> type:
    """Return what a resize computes in, to be rounded to float32 at its end.

    Upstream divides by 255.0 in NumPy, which gives float64, and casts in
    `PrepareForNet` only. 8 bits and cv2's weights are whole in float32 as well: half
    the time, and the sums stay within 2e-6 of upstream, ten thousand times less
    than a step of 8 bits.
    """
    eight = pixels.dtype == np.uint8 and kernel is cubic_cv2
    return np.float32 if eight else np.float64


def _normalised(
    image: UInt8[np.ndarray, "h w 3"], config: ModelConfig
) -> Float32[np.ndarray, "h w 3"]:
    # What the processor makes of each of the 256 levels. Rescaling rounds to float32,
    # normalisation stays in it (transformers/image_transforms.py, `rescale` and
    # `normalize`).
    level = (np.arange(256)[:, None] * (1 / 255)).astype(np.float32)
    mean, std = np.array([config.mean, config.std], np.float32)
    table = (level - mean) / std
    result = np.empty(image.shape, np.float32)
    for channel in range(3):
        result[..., channel] = table[:, channel][image[..., channel]]
    return result


def _as_bytes(pixels: Pixels) -> Pixels:
    if pixels.dtype == np.uint8:
        return pixels
    # Cut, not rounded, as the processor does for floats (`to_pil_image`).
    return (pixels.astype(np.float64) * 255).astype(np.float32).astype(np.uint8)
