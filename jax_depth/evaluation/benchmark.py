"""Benchmarks: pictures with ground truth, how they are scored and averaged."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import numpy as np
from jaxtyping import Float, UInt8

from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import SampleError
from jax_depth.depth_map import DepthMap
from jax_depth.evaluation import da2k
from jax_depth.evaluation.alignment import Alignment
from jax_depth.evaluation.boundary import boundary_f1
from jax_depth.evaluation.metrics import score
from jax_depth.evaluation.protocols import DA2K_REPRODUCES, DA2K_SOURCE, Protocol

# The result for one picture, ready for JSON: "metrics" and whatever else is known.
Judgement = dict[str, Any]


@runtime_checkable
class Benchmark(Interface):
    """What a run needs from a benchmark.

    Attributes:
        names: of the pictures, in order.
        published: how many the published benchmark has.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def published(self) -> int | None: ...
    def read(self, index: int) -> tuple[UInt8[np.ndarray, "h w 3"], Any]:
        """Return a picture and its truth; SampleError if that is impossible."""
        ...

    def judge(self, depth: DepthMap, truth: Any) -> Judgement:
        """Score one prediction; ValueError if that is impossible."""
        ...

    def means(self, judgements: Sequence[Judgement]) -> dict[str, float]:
        """Return what is reported for all pictures, at least one."""
        ...

    def badness(self, judgement: Judgement) -> float:
        """Return the number by which the worst pictures are found."""
        ...

    def description(self) -> dict[str, Any]:
        """Return everything that decides the numbers, ready for JSON."""
        ...


def default_alignment(kind: str, protocol: Protocol) -> Alignment:
    """Return how a model of a kind is compared: metric ones as they are."""
    if kind == "metric_depth":
        return Alignment("none", "depth")
    return protocol.alignment if kind == "inverse_depth" else Alignment(space="depth")


def in_space(depth: DepthMap, alignment: Alignment) -> Float[np.ndarray, "h w"]:
    """Return a map's values as what an alignment takes: disparity or depth.

    Raises:
        ValueError: inverse depth cannot be compared as depth before its shift is known,
            or depth that is not positive has no inverse.
    """
    values = depth.values.astype(np.float64)
    if depth.near_is_large:
        if alignment.space != "disparity":
            raise ValueError(
                f"the model gives inverse depth, which has no depth before it is "
                f"aligned; align in disparity, not in {alignment.space}"
            )
        return values
    if alignment.space != "disparity":
        return values
    if (values <= 0).any():
        raise ValueError("the prediction holds depth <= 0, which has no inverse")
    return 1 / values


class DepthBenchmark:
    """Depth maps against dense or sparse truth in metres.

    Attributes:
        protocol: how.
        alignment: of the model, see `default_alignment`.
    """

    def __init__(self, samples: Dataset, protocol: Protocol, alignment: Alignment):
        self.samples, self.protocol, self.alignment = samples, protocol, alignment
        self.names = list(samples.names)
        self.published: int | None = protocol.images or None

    def read(self, index: int) -> tuple[UInt8[np.ndarray, "h w 3"], Any]:
        """Return a picture, and its depth in metres and mask, cropped."""
        sample = self.samples[index]
        try:
            depth, mask = sample.metric_depth()
            if self.protocol.crop is not None:
                mask = mask & self.protocol.crop.mask(mask.shape)
        except ValueError as error:
            raise SampleError(f"{sample.name}: {error}") from error
        return sample.rgb, (depth, mask)

    def judge(self, depth: DepthMap, truth: Any) -> Judgement:
        """Return all metrics, the fit, its notes and the number of pixels."""
        target, mask = truth
        low, high = self.protocol.min_depth, self.protocol.max_depth
        pred = in_space(depth, self.alignment)
        result = score(pred, target, mask, self.alignment, low, high)
        metrics = dict(result.metrics)
        if self.protocol.boundaries:
            known = mask & (target > low) & (target < high)
            metrics["boundary_f1"] = boundary_f1(result.aligned.depth, target, known)
        return {
            "metrics": metrics,
            "pixels": result.pixels,
            "scale": result.aligned.scale,
            "shift": result.aligned.shift,
            "notes": list(result.aligned.notes),
        }

    def means(self, judgements: Sequence[Judgement]) -> dict[str, float]:
        """Return the mean over pictures of every metric."""
        # Exact sums: they do not depend on the order of summing.
        names = judgements[0]["metrics"]
        return {
            name: math.fsum(j["metrics"][name] for j in judgements) / len(judgements)
            for name in names
        }

    def badness(self, judgement: Judgement) -> float:
        """Return AbsRel."""
        return judgement["metrics"]["abs_rel"]

    def _floor(self) -> float | None:
        """Return the smallest aligned disparity, 1/m; None in other spaces."""
        if self.alignment.space != "disparity":
            return None
        return self.alignment.floor or 1 / self.protocol.max_depth

    def description(self) -> dict[str, Any]:
        """Return the protocol and the alignment."""
        crop = self.protocol.crop
        return {
            "protocol": self.protocol.name,
            "reader": self.protocol.reader,
            "options": dict(self.protocol.options),
            "align": self.alignment.method,
            "space": self.alignment.space,
            "floor": self._floor(),
            "min_depth": self.protocol.min_depth,
            "max_depth": self.protocol.max_depth,
            "crop": crop and {"rows": crop.rows, "columns": crop.columns},
            "source": self.protocol.source,
            "reproduces": self.protocol.reproduces,
        }


class PairBenchmark:
    """DA-2K: which of two points is nearer."""

    published: int | None = None

    def __init__(self, pairs: da2k.DA2K):
        self.pairs = pairs
        self.names = [image.name for image in pairs.images]

    def read(self, index: int) -> tuple[UInt8[np.ndarray, "h w 3"], Any]:
        """Return a picture and its pairs."""
        return self.pairs.read(index), self.pairs.images[index]

    def judge(self, depth: DepthMap, truth: Any) -> Judgement:
        """Return the share and the number of correct pairs."""
        correct, pairs = da2k.count_correct(depth, truth), len(truth.pairs)
        return {
            "metrics": {"accuracy": correct / pairs},
            "scene": truth.scene,
            "correct": correct,
            "pairs": pairs,
            "notes": [],
        }

    def means(self, judgements: Sequence[Judgement]) -> dict[str, float]:
        """Return accuracy per scene, and over all pairs."""
        return da2k.accuracies(
            (j["scene"], j["correct"], j["pairs"]) for j in judgements
        )

    def badness(self, judgement: Judgement) -> float:
        """Return the share of wrong pairs."""
        return 1 - judgement["metrics"]["accuracy"]

    def description(self) -> dict[str, Any]:
        """Return the source."""
        return {
            "protocol": "da-2k",
            "source": DA2K_SOURCE,
            "reproduces": DA2K_REPRODUCES,
        }


def worst(
    benchmark: Benchmark, judgements: Mapping[int, Judgement], count: int
) -> list[int]:
    """Return the numbers of the worst pictures, worst first."""
    order = sorted(judgements, key=lambda i: (-benchmark.badness(judgements[i]), i))
    return order[:count]
