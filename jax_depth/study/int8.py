"""Making a model's int8 form from photos, and what it costs on others."""

import contextlib
import dataclasses
import importlib.metadata
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jax_depth import __version__
from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.formats.image import Pixels
from jax_depth.inference.engines.int8 import Int8
from jax_depth.inference.engines.openvino_quantize import quantized_changes
from jax_depth.inference.estimator import Estimator
from jax_depth.inference.stream import stream
from jax_depth.models.output import Output
from jax_depth.study.agreement import agreement
from jax_depth.study.common_form import thinned

# Columns over rows of what calibration sees: one graph has one size.
_ASPECT = 4 / 3


@dataclasses.dataclass
class Failures:
    """Photos that were left out.

    Attributes:
        sentences: one each, naming it.
    """

    sentences: list[str]

    def add(self, path: Path, error: Exception) -> None:
        text = str(error)
        self.sentences.append(text if str(path) in text else f"{path}: {text}")


def split(
    photos: Sequence[Path], calibrate: int, held_out: int
) -> tuple[list[Path], list[Path]]:
    """Return photos to calibrate with and photos to hold back, evenly from all.

    Args:
        photos: at least two.
        calibrate: at most so many of the first.
        held_out: at most so many of the second, and at most a fifth of all, but one.

    Raises:
        ValueError: fewer than two photos.
    """
    if len(photos) < 2:
        raise ValueError(
            f"{len(photos)} photo is too few: some calibrate and others, held back, "
            "judge; give at least two, better a hundred"
        )
    held = _evenly(range(len(photos)), min(held_out, max(1, len(photos) // 5)))
    rest = [i for i in range(len(photos)) if i not in set(held)]
    used = _evenly(rest, min(calibrate, len(rest)))
    return [photos[i] for i in used], [photos[i] for i in held]


def _evenly(items: Sequence[int], count: int) -> list[int]:
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def quantized(
    params: Params,
    config: ModelConfig,
    calibration: Sequence[Path],
    held_out: Sequence[Path],
    failures: Failures,
    size: int | None = None,
) -> Int8:
    """Quantise a model from photos and compare it with float32 on others.

    Args:
        params: nested dict of float32 arrays.
        config: the model.
        calibration: files whose middle, cut to 4 to 3, gives activations their ranges.
        held_out: files that are compared, whole.
        failures: gets those that cannot be read.
        size: short side in pixels; the model's own by default.

    Raises:
        ValueError: nncf is missing, or no photo of one of the two kinds can be read.
    """
    exact = Estimator(params, config, size=size, engine="openvino")
    pixels = _calibration_pixels(exact, calibration, failures)
    changes = quantized_changes(params, config, pixels)
    record: dict[str, Any] = {
        "model": config.name,
        "calibrated": len(pixels),
        "size": list(pixels[0].shape[1:3]),
        "versions": {
            "jax_depth": __version__,
            **{name: importlib.metadata.version(name) for name in ("openvino", "nncf")},
        },
        # Until it is known: an estimator says what it is.
        "held_out": 0,
        "agreement": {"spearman": np.nan, "d1": np.nan},
    }
    coarse = Estimator(params, config, size=size, int8=Int8(changes, record))
    figures, count = compared(exact, coarse, held_out, failures)
    return Int8(changes, record | {"held_out": count, "agreement": figures})


def compared(
    exact: Any, other: Any, photos: Sequence[Path], failures: Failures
) -> tuple[dict[str, float | None], int]:
    """Return how another estimator agrees with an exact one, and on how many photos.

    Returns:
        Means over photos of what `agreement` gives, edges over those that have any
        (None where none has), and "worst_spearman".

    Raises:
        ValueError: no photo can be compared.
    """
    found = []
    with (
        contextlib.closing(exact.stream(photos)) as ones,
        contextlib.closing(other.stream(photos)) as others,
    ):
        for (path, one), (_, two) in zip(ones, others, strict=True):
            try:
                for depth in (one, two):
                    if isinstance(depth, Exception):
                        raise depth
                found.append(agreement(thinned(two), thinned(one)))
            except (OSError, ValueError, MemoryError) as error:
                failures.add(path, error)
    if not found:
        raise ValueError("none of the photos held back can be compared")
    edges = [a.edges for a in found if a.edges is not None]
    return {
        "spearman": float(np.mean([a.spearman for a in found])),
        "worst_spearman": min(a.spearman for a in found),
        "d1": float(np.mean([a.d1 for a in found])),
        "abs_rel": float(np.mean([a.abs_rel for a in found])),
        "edges": float(np.mean(edges)) if edges else None,
    }, len(found)


class _Preparing:
    """Steps of a picture that end where the network would begin."""

    batch_size = 1

    def __init__(self, estimator: Any):
        self._estimator = estimator

    def prepare(self, picture: Pixels, *, name: str | None = None) -> np.ndarray:
        return self._estimator.prepare(_middle(picture), name=name)

    def run(self, pixels: np.ndarray) -> Output:
        return Output(pixels)

    def finish(self, output: Output, shape: tuple[int, int]) -> np.ndarray:
        return np.asarray(output.depth)[None]


def _calibration_pixels(
    estimator: Any, photos: Sequence[Path], failures: Failures
) -> list[np.ndarray]:
    pixels: list[np.ndarray] = []
    with contextlib.closing(stream(photos, _Preparing(estimator))) as results:
        for path, result in results:
            if isinstance(result, Exception):
                failures.add(path, result)
            else:
                pixels.append(result)
    if not pixels:
        raise ValueError("none of the photos to calibrate with can be read")
    # All but those that a model, which enlarges nothing, sees smaller than the others.
    shapes = sorted(p.shape for p in pixels)
    most = max(itertools.groupby(shapes), key=lambda group: len(list(group[1])))[0]
    return [p for p in pixels if p.shape == most]


def _middle(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    rows = min(height, max(1, round(width / _ASPECT)))
    columns = min(width, max(1, round(height * _ASPECT)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return picture[top : top + rows, left : left + columns]
