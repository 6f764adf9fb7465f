"""DA-2K (Yang et al. 2024, arXiv:2406.09414, section 6): which of two points is nearer.

annotations.json      {"images/SCENE/NAME": [{"point1": [row, column],
                      "point2": [row, column], "closer_point": "point1"}]}
images/SCENE/NAME     SCENE is one of SCENES
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jax_depth.data.sample import DatasetError, SampleError
from jax_depth.depth_map import DepthMap
from jax_depth.formats.json_file import read_json
from jax_depth.formats.rgb import read_rgb

SCENES = (
    *("indoor", "outdoor", "non_real", "transparent_reflective"),
    *("adverse_style", "aerial", "underwater", "object"),
)
Point = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class PairImage:
    """One picture of DA-2K.

    Attributes:
        name: its path in `annotations.json`.
        scene: one of `SCENES`.
        pairs: (nearer, farther) points, each (row, column).
    """

    name: str
    scene: str
    pairs: tuple[tuple[Point, Point], ...]


class DA2K:
    """The pictures of DA-2K and their pairs.

    Attributes:
        root: the folder with `annotations.json`.
        images: what it lists, in its order.

    Raises:
        DatasetError: the folder or its annotations are missing or not in this format;
            the message names the entry.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)
        path = self.root / "annotations.json"
        try:
            entries = read_json(path)
        except OSError as error:
            raise DatasetError(
                f"da-2k: {path} cannot be read ({error.strerror}); give the folder "
                "that holds annotations.json and images/"
            ) from None
        except ValueError as error:
            raise DatasetError(f"da-2k: {path} is not JSON ({error})") from None
        if not isinstance(entries, dict) or not entries:
            raise DatasetError(f"da-2k: {path} lists no pictures")
        self.images = [_image(path, name, pairs) for name, pairs in entries.items()]

    def read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a picture.

        Raises:
            SampleError: it cannot be read, or a point lies outside.
        """
        image = self.images[index]
        try:
            rgb = read_rgb(self.root / image.name)
        except (OSError, ValueError, SyntaxError) as error:
            reason = " ".join(str(error).split())
            raise SampleError(f"da-2k sample {image.name}: {reason}") from error
        for row, column in (point for pair in image.pairs for point in pair):
            if not (0 <= row < rgb.shape[0] and 0 <= column < rgb.shape[1]):
                raise SampleError(
                    f"da-2k sample {image.name}: point ({row}, {column}) lies outside "
                    f"the picture of {rgb.shape[1]}x{rgb.shape[0]}"
                )
        return rgb


def count_correct(depth: DepthMap, image: PairImage) -> int:
    """Return the number of pairs in which the map puts the nearer point nearer.

    Ties are wrong, so a constant map scores 0. Compared at the picture's own size.
    """
    values = depth.values if depth.near_is_large else -depth.values
    return sum(bool(values[near] > values[far]) for near, far in image.pairs)


def accuracies(counts: Iterable[tuple[str, int, int]]) -> dict[str, float]:
    """Return accuracy per scene that occurs, and "all": over pairs, not scenes.

    The published mean is over pairs: the paper's eight scenes, weighted by their
    number, give its 95.3 / 97.0 / 97.1, which their plain mean does not.

    Args:
        counts: scene, correct pairs and pairs of every picture.
    """
    totals: dict[str, list[int]] = {}
    for scene, correct, pairs in counts:
        for name in (scene, "all"):
            entry = totals.setdefault(name, [0, 0])
            entry[0] += correct
            entry[1] += pairs
    order = [name for name in (*SCENES, "all") if name in totals]
    return {name: totals[name][0] / totals[name][1] for name in order}


def _image(path: Path, name: str, pairs: Any) -> PairImage:
    parts = PurePosixPath(name).parts
    scene = next((part for part in parts[:-1] if part in SCENES), None)
    if scene is None:
        raise DatasetError(
            f"da-2k: {path} lists '{name}', whose folder is none of the scenes "
            f"{', '.join(SCENES)}"
        )
    if not isinstance(pairs, list) or not pairs:
        raise DatasetError(f"da-2k: {path} has no pairs for '{name}'")
    return PairImage(name, scene, tuple(_pair(path, name, pair) for pair in pairs))


def _pair(path: Path, name: str, pair: Any) -> tuple[Point, Point]:
    try:
        closer = pair["closer_point"]
        other = {"point1": "point2", "point2": "point1"}[closer]
        return _point(pair[closer]), _point(pair[other])
    except (KeyError, TypeError, ValueError):
        raise DatasetError(
            f"da-2k: {path} has a pair for '{name}' that is not point1, point2 and "
            f"closer_point: {_short(pair)}"
        ) from None


def _point(value: Any) -> Point:
    row, column = value
    return int(row), int(column)


def _short(pair: Mapping[str, Any]) -> str:
    text = json.dumps(pair)
    return text if len(text) < 80 else text[:77] + "..."
