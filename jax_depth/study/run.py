"""The study: models over pictures, everything measured once."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth.config import ModelConfig
from jax_depth.depth_map import DepthMap
from jax_depth.formats.image import as_bytes
from jax_depth.inference.resample import resize_bilinear
from jax_depth.models.depth_anything import activate
from jax_depth.models.grid import token_grid
from jax_depth.models.output import Output
from jax_depth.study.agreement import Agreement, agreement
from jax_depth.study.common_form import LONGEST, canonical, thinned, to_disparity
from jax_depth.study.disagreement import Disagreement, disagreement
from jax_depth.study.experiments import Outcome, experiments
from jax_depth.study.probe import TokenNorms, probe, token_norms
from jax_depth.study.ranges import Range, range_of


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """One picture by one model.

    Attributes:
        depth: the map at the picture's own size, thinned to 640 pixels a side.
        network: (h, w) of the pixels the network saw.
        raw: range of all values at the picture's own size, as the model gives them.
        common: range of the canonical inverse depth; None where there is none.
        norms: of its tokens.
        rms: stage of `probe.STAGES` -> root mean square.
        note: why a figure is missing; "" usually.
    """

    depth: DepthMap
    network: tuple[int, int]
    raw: Range | None
    common: Range | None
    norms: TokenNorms
    rms: dict[str, float]
    note: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """One picture by all models.

    Attributes:
        name: of the picture.
        size: its own (h, w).
        photo: uint8 RGB, at most 640 pixels a side.
        seen: model -> what it saw.
        agreements: (aligned, reference) -> agreement, or a sentence why not.
        differing: where the models disagree; None with fewer than two usable maps.
    """

    name: str
    size: tuple[int, int]
    photo: UInt8[np.ndarray, "h w 3"]
    seen: Mapping[str, Seen]
    agreements: Mapping[tuple[str, str], Agreement | str]
    differing: Disagreement | None


@dataclasses.dataclass(eq=False)
class Study:
    """All that was measured.

    Attributes:
        configs: model -> its config, in the order given.
        parameters: model -> how many.
        sizes: model -> short side in pixels and whose preprocessing.
        pictures: in order.
        experiments: model -> outcomes, on the first picture; or a sentence why not.
        failed: picture -> why it is missing.
    """

    configs: dict[str, ModelConfig]
    parameters: dict[str, int]
    sizes: dict[str, tuple[int, str]]
    pictures: list[Compared] = dataclasses.field(default_factory=list)
    experiments: dict[str, list[Outcome] | str] = dataclasses.field(
        default_factory=dict
    )
    failed: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Names of the models, in order."""
        return list(self.configs)


def begin(estimators: Mapping[str, Any]) -> Study:
    """Return a study of models without pictures.

    Args:
        estimators: name -> `Estimator`, at least one.
    """
    return Study(
        configs={name: one.config for name, one in estimators.items()},
        parameters={
            name: sum(leaf.size for leaf in jax.tree.leaves(one.params))
            for name, one in estimators.items()
        },
        sizes={name: (one.size, one.resample) for name, one in estimators.items()},
    )


def run(
    study: Study,
    estimators: Mapping[str, Any],
    photos: Iterable[tuple[str, UInt8[np.ndarray, "h w 3"]]],
) -> Iterator[str]:
    """Add pictures to a study, one by one; yield each one's name when it is done.

    All models see a picture before the next is read, so a study that is stopped holds
    what it has. The edits of `experiments` are made on the first picture.

    Args:
        study: from `begin`; grows.
        estimators: as there.
        photos: name and picture; may be a generator.
    """
    for name, rgb in photos:
        try:
            seen, pixels = {}, {}
            for model, estimator in estimators.items():
                pixels[model] = estimator.prepare(rgb, name=name)
                seen[model] = _see(estimator, pixels[model], rgb.shape[:2])
            study.pictures.append(_compare(name, rgb, seen))
            if not study.experiments:
                for model, one in estimators.items():
                    study.experiments[model] = _edit(model, one, seen, pixels[model])
        except (ValueError, MemoryError) as error:
            study.failed[name] = f"'{name}': {error}"
        yield name


def _see(estimator: Any, pixels, size: tuple[int, int]) -> Seen:
    config: ModelConfig = estimator.config
    probed = jax.device_get(probe(estimator.params, pixels, config))
    values = np.asarray(activate(probed["raw"][None], config))[0]
    depth = estimator.finish(Output(values), size)
    network = pixels.shape[1], pixels.shape[2]
    raw = common = None
    note = ""
    try:
        raw = range_of(depth.values)
        common = range_of(canonical(depth))
    except ValueError as error:
        note = str(error)
    return Seen(
        thinned(depth),
        network,
        raw,
        common,
        token_norms(
            probed["before"],
            probed["after"],
            token_grid(config.encoder, network),
        ),
        {stage: float(value) for stage, value in probed["rms"].items()},
        note,
    )


def _edit(model: str, estimator: Any, seen: Mapping[str, Seen], pixels):
    """Return the outcomes of the edits, or why there are none."""
    target = _target(model, seen, pixels.shape[1:3])
    try:
        return experiments(estimator.params, estimator.config, pixels, target)
    except ValueError as error:
        return str(error)


def _compare(name: str, rgb, seen: Mapping[str, Seen]) -> Compared:
    agreements: dict[tuple[str, str], Agreement | str] = {}
    for one in seen:
        for other in seen:
            if one != other:
                try:
                    found = agreement(seen[one].depth, seen[other].depth)
                except ValueError as error:
                    found = str(error)
                agreements[one, other] = found
    usable = [canonical(s.depth) for s in seen.values() if s.common is not None]
    picture = Image.fromarray(as_bytes(rgb))
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    differing = disagreement(usable) if len(usable) > 1 else None
    return Compared(
        name, rgb.shape[:2], np.asarray(picture), seen, agreements, differing
    )


def _target(model: str, seen: Mapping[str, Seen], size: tuple[int, int]):
    """Return the inverse depth an edited model is judged by, at its network's size.

    That of the next model whose map is usable; with none, a ramp: lower is nearer.
    """
    names = list(seen)
    start = names.index(model) + 1
    for other in (*names[start:], *names[: start - 1]):
        if seen[other].common is not None:
            values = to_disparity(seen[other].depth).astype(np.float32)
            if values.max() > 0:
                return resize_bilinear(values, size)
    ramp = np.linspace(0.05, 1, size[0], dtype=np.float32)
    return np.repeat(ramp[:, None], size[1], axis=1)
