"""Held-out pictures for TensorBoard: photo, truth, prediction, small and labelled."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from jax_depth.alignment import fit_scale_shift
from jax_depth.outputs.color import table_of

# Pixels of a part's longer side, and of the strip with the words.
_SIDE, _STRIP = 320, 14


def panel(
    rgb: UInt8[np.ndarray, "h w 3"],
    target: np.ndarray,
    mask: np.ndarray,
    pred: np.ndarray,
    metric: bool,
    caption: str = "",
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return photo, truth and prediction side by side, near red, on one range.

    Args:
        rgb: the photo.
        target: metres for a metric model, else inverse depth.
        mask: where `target` is known; elsewhere it is black.
        pred: as the model gives it; aligned to `target` unless metric.
        metric: whether larger is farther.
        caption: of the prediction, its metrics.
    """
    low, high = 0.0, 1.0
    if mask.any():
        if not metric:
            scale, shift = fit_scale_shift(pred, target, mask)
            pred = scale * pred + shift
        low, high = np.percentile(target[mask], (2, 98))

    def coloured(values: np.ndarray) -> np.ndarray:
        level = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
        level = np.nan_to_num(1 - level if metric else level)
        return table_of("Spectral_r")[(255 * level).astype(np.uint8)]

    truth = np.where(mask[..., None], coloured(np.where(mask, target, low)), 0)
    unit = " m" if metric else ""
    words = (
        "photo",
        f"truth, {low:.3g}-{high:.3g}{unit}",
        f"prediction{', ' if caption else ''}{caption}",
    )
    parts = (rgb, truth, coloured(pred))
    return np.concatenate([_part(*pair) for pair in zip(parts, words, strict=True)], 1)


def _part(picture: np.ndarray, words: str) -> np.ndarray:
    h, w = picture.shape[:2]
    scale = min(1.0, _SIDE / max(h, w))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    image = Image.fromarray(picture.astype(np.uint8)).resize(size, Image.Resampling.BOX)
    strip = Image.new("RGB", (size[0], _STRIP), "white")
    ImageDraw.Draw(strip).text((2, 1), words, fill="black")
    return np.concatenate([np.asarray(strip), np.asarray(image)], 0)
