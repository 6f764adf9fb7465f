"""What an exported file says about itself: how to feed it and what comes out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jax_depth import __version__
from jax_depth.config import ModelConfig
from jax_depth.inference import bounded

_RESIZE = {
    "original": "cv2.resize(photo / 255.0, (width, height), cv2.INTER_CUBIC) in "
    "float64, both sides at least `size`",
    "transformers": "Pillow's BICUBIC on uint8, the side that changes least becoming "
    "`size`",
    **{
        method: "cv2.resize on uint8, INTER_AREA to shrink and INTER_CUBIC to enlarge, "
        f"the {'longer' if method.startswith('upper') else 'shorter'} side becoming "
        f"`size` and then each {'cut' if method.endswith('crop') else 'resized'} to "
        "a multiple"
        for method in bounded.METHODS
    },
}
_MEANING = {
    "inverse_depth": "inverse depth of unknown scale and shift: larger is nearer, 0 is "
    "infinitely far",
    "depth": "depth of unknown scale: larger is farther",
    "metric_depth": "metres along the camera's axis",
}

_MORE = {
    "confidence": "above 1, larger is surer",
    "sky": "sky where it is 0.3 or more",
}

_OF_VIEWS = (
    "a dict: depth, float32 (1, {views}, height, width), {meaning}; confidence, as "
    "large, above 1, larger is surer; extrinsics (1, {views}, 3, 4), world to camera; "
    "intrinsics (1, {views}, 3, 3), in pixels of the input counted from its corner; "
    "rays and ray_confidence, coarser; reference (1,), the view that defines the world "
    "frame"
)


def contract(
    config: ModelConfig,
    preprocessing: bool = False,
    outputs: Sequence[str] = ("depth",),
    views: int | None = None,
) -> Mapping[str, str]:
    """Return short texts for the metadata of an exported file.

    Args:
        config: the model.
        preprocessing: whether the file does it itself.
        outputs: names of the maps that come out, depth first.
        views: how many of one place go in, where the file is for several.

    Returns:
        "model" holds a JSON object with the numbers (`size`, `multiple`, `mean`, `std`,
        `restore`, `kind`, `max_depth`), the others are for people.
    """
    numbers: dict[str, Any] = {
        "name": config.name,
        "size": config.image_size,
        "multiple": config.encoder.patch_size,
        "mean": config.mean,
        "std": config.std,
        "resample": config.resample,
        "restore": config.restore,
        "kind": config.kind,
        "max_depth": config.max_depth,
        "dtype": config.dtype,
    }
    if preprocessing:
        steps = "none: the input is uint8 RGB (batch, height, width, 3)"
    else:
        steps = (
            f"uint8 RGB photo -> both sides a multiple of {config.encoder.patch_size}, "
            f"aspect ratio kept, by {_RESIZE[config.resample]} -> divide by 255 -> "
            "subtract `mean`, divide by `std` -> float32 (batch, height, width, 3)"
        )
    meaning = _MEANING[config.kind]
    if config.canonical_focal is not None:
        meaning += (
            f"; times the focal length in pixels of the input / "
            f"{config.canonical_focal:g} it is metres"
        )
    more = [f"{name}: {_MORE[name]}" for name in outputs[1:]]
    output = "; ".join([f"float32 (batch, height, width), {meaning}", *more])
    if views is not None:
        numbers["views"] = views
        steps = steps.replace("(batch, ", f"(1, {views}, ")
        output = _OF_VIEWS.format(views=views, meaning=meaning)
    return {
        "producer": f"jax_depth {__version__}",
        "model": json.dumps(numbers),
        "preprocessing": steps,
        "output": output,
    }
