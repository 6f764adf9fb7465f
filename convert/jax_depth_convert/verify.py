"""Measure how closely jax_depth agrees with PyTorch; needs torch and transformers.

    python -m jax_depth_convert.verify FILE --model depth-anything-v2-small
    python -m jax_depth_convert.verify --model depth-anything-v2-small

The second form fills the architecture with random weights, scaled so that no activation
vanishes, writes them in the original layout and reads them back. The reference is
transformers' own model, loaded strictly from what `write_transformers_folder` wrote,
with the position embedding resized as the model's config says: transformers no longer
applies the 0.1 offset of the original code. The input is random pixels.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_depth._typing import Params
from jax_depth.checkpoint import leaf_shapes, unflatten
from jax_depth.config import EncoderConfig, ModelConfig
from jax_depth.formats.printable import printable
from jax_depth.models.depth_anything import features, forward
from jax_depth_convert.conversion import config_of, load
from jax_depth_convert.pth_writer import write_pth
from jax_depth_convert.rules import Leaf
from jax_depth_convert.state_dicts import invert_params, published_encoder
from jax_depth_convert.transformers_folder import write_transformers_folder

SIZES = ((518, 518), (518, 686), (252, 364))


class Parity(NamedTuple):
    """Agreement at one size, on standard normal pixels.

    Attributes:
        height, width: of the pixels.
        error: largest absolute difference, in standard deviations of the reference.
        std: standard deviation of the reference, in its own unit.
    """

    height: int
    width: int
    error: float
    std: float


def parity(
    params: Params, config: ModelConfig, sizes: Iterable[tuple[int, int]] = SIZES
) -> list[Parity]:
    """Compare with transformers: depth, or the tokens of a bare encoder.

    Args:
        params: nested dict of float32 arrays.
        config: the `ModelConfig` they belong to, of a model that transformers has.
        sizes: (height, width) pairs, multiples of the patch size.

    Raises:
        ValueError: torch or transformers is not installed, or transformers cannot
            describe the model.
    """
    reference = _reference(params, config)
    ours = jax.jit(lambda params, pixels: _ours(params, pixels, config))
    result = []
    for height, width in sizes:
        rng = np.random.default_rng(height * width)
        pixels = rng.standard_normal((1, height, width, 3), np.float32)
        theirs = reference(pixels)
        std = float(theirs.std())
        error = float(np.abs(np.asarray(ours(params, pixels)) - theirs).max())
        result.append(Parity(height, width, error / std, std))
    return result


def random_file(path: Path, config: ModelConfig, seed: int = 0) -> None:
    """Write a `.pth` in the original layout, of random weights like `_living`'s."""
    rng = np.random.default_rng(seed)
    leaves = {
        name: Leaf(leaf.shape, np.float32, _living(name, leaf.shape, rng))
        for name, leaf in leaf_shapes(config).items()
    }
    write_pth(path, invert_params(unflatten(leaves), config, "original"))


def _living(path: str, shape: tuple[int, ...], rng: np.random.Generator):
    """Return a function making a parameter that keeps activations of order one.

    With a default initialisation (tiny LayerScale, zero biases, a final ReLU) the
    network outputs zeros, so any port would seem exact.
    """
    name = path.rpartition("/")[2]

    def values() -> np.ndarray:
        x = rng.standard_normal(shape, np.float32)
        if name == "kernel":
            return x / np.sqrt(np.float32(np.prod(shape[:-1])))
        if path == "head/output_conv3/bias":
            return 1 + np.float32(0.1) * x
        center = {"scale": 1.0, "gamma": 0.3}.get(name, 0.0)
        spread = 0.05 if name == "gamma" else 0.2
        return np.float32(center) + np.float32(spread) * x

    return values


def _ours(params: Params, pixels: Any, config: ModelConfig) -> Any:
    if config.head is None:
        return features(params, pixels, config)["tokens"]
    return forward(params, pixels, config)


def _reference(params: Params, config: ModelConfig):
    """Return a function from pixels (1, h, w, 3) to what transformers computes."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ValueError(
            f"{error.name} is not installed, but is needed as the reference: pip "
            "install torch transformers"
        ) from None
    transformers.utils.logging.disable_progress_bar()
    auto = (
        transformers.AutoModel
        if config.head is None
        else transformers.AutoModelForDepthEstimation
    )
    with tempfile.TemporaryDirectory() as folder:
        write_transformers_folder(params, config, Path(folder) / "model")
        model, info = auto.from_pretrained(
            Path(folder) / "model", output_loading_info=True
        )
    if any(info.values()):
        raise ValueError(f"transformers did not load every key: {info}")
    model.eval()
    encoder = published_encoder(config)
    if encoder.position_offset:
        module = model if config.head is None else model.backbone
        _restore_offset(torch, module.embeddings, encoder)

    def run(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            output = model(torch.from_numpy(np.moveaxis(pixels, -1, 1).copy()))
        depth = "last_hidden_state" if config.head is None else "predicted_depth"
        return output[depth].numpy()

    return run


def _restore_offset(torch: Any, embeddings: Any, encoder: EncoderConfig) -> None:
    """Resize the position embedding as the original code does.

    Upstream: Depth-Anything-V2 `dinov2.py`, `interpolate_pos_encoding`: the offset
    changes the scale factor, and so the sampling coordinates, but not the output size.
    """
    side, patch = encoder.position_grid, encoder.patch_size

    def interpolate(tokens: Any, height: int, width: int) -> Any:
        table = embeddings.position_embeddings
        rows, columns = height // patch, width // patch
        if rows == columns == side:
            return table
        grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = tuple((n + encoder.position_offset) / side for n in (rows, columns))
        grid = torch.nn.functional.interpolate(grid, scale_factor=scale, mode="bicubic")
        if tuple(grid.shape[-2:]) != (rows, columns):
            raise ValueError(f"torch resized the grid to {tuple(grid.shape[-2:])}")
        grid = grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)
        return torch.cat((table[:, :1], grid), dim=1)

    embeddings.interpolate_pos_encoding = interpolate


def main(argv: Sequence[str] | None = None) -> int:
    """Print one model's errors; return 1 if any exceeds 1e-4 standard deviations."""
    parser = argparse.ArgumentParser(prog="python -m jax_depth_convert.verify")
    parser.add_argument("source", nargs="?", help="a weight file (default: random)")
    parser.add_argument("--model", metavar="NAME", help="a name in the catalogue")
    args = parser.parse_args(argv)
    if args.source is None and args.model is None:
        parser.error("give a weight file, a --model, or both")
    try:
        rows, config = _measure(args.source, args.model)
    except (ValueError, OSError) as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    for row in rows:
        print(
            f"{config.name} {row.height}x{row.width}: largest difference "
            f"{row.error:.1e} standard deviations (of {row.std:.3g})"
        )
    return int(max(row.error for row in rows) > 1e-4)


def _measure(source: str | None, model: str | None):
    if source is not None:
        params, config = load(source, model)
        return parity(params, config), config
    named = config_of(model or "")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random.pth"
        random_file(file, named)
        params, config = load(file, named)
        return parity(params, config), config


if __name__ == "__main__":
    sys.exit(main())
