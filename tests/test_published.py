"""The published depth of fifteen checkpoints, where their weights are at hand.

To run them: let the weights be cached (`jax_depth.load(name)` with a network) and set
JAX_DEPTH_GOLDEN_PHOTO to COCO val2017 000000039769.jpg (two cats on a sofa).
"""

import dataclasses
import os
from pathlib import Path

import huggingface_hub.constants
import jax
import numpy as np
import oracle
import pytest
import torch
from PIL import Image
from published_slices import PUBLISHED_SLICES
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

import jax_depth
from jax_depth import catalog, weights

PUBLISHED = list(PUBLISHED_SLICES)


def _top_left(name: str, photo) -> np.ndarray:
    """Return depth of the first 3x3 pixels at the size the network sees."""
    estimator = jax_depth.load(name, resample="transformers", devices=jax.devices()[:1])
    pixels = jax_depth.preprocess(photo, estimator.config, resample="transformers")
    assert pixels.shape == (1, 518, 686, 3)
    return np.asarray(estimator.run(pixels).depth)[0, :3, :3]


@pytest.mark.weights
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_depth(name):
    photo = os.environ.get("JAX_DEPTH_GOLDEN_PHOTO")
    if not weights.is_cached(name):
        pytest.skip(f"the weights of {name} are not cached on this machine")
    if not photo:
        pytest.skip("JAX_DEPTH_GOLDEN_PHOTO does not name the picture of the goldens")
    golden = PUBLISHED_SLICES[name]
    # Published to four decimals.
    np.testing.assert_allclose(_top_left(name, photo), golden, rtol=1e-4, atol=1e-4)


def test_the_same_path_on_random_weights(tmp_path, monkeypatch):
    """A file as the hub holds it, read, converted and run, against transformers."""
    name = "depth-anything-v2-metric-indoor-small"
    entry = catalog.MODELS[name]
    encoder = dataclasses.replace(
        entry.config.encoder, position_offset=0.0, depth=4, taps=(0, 1, 2, 3)
    )
    config = dataclasses.replace(entry.config, encoder=encoder)
    changed = dataclasses.replace(entry, config=config)
    monkeypatch.setattr(weights, "MODELS", {name: changed})
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path / "native"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    model = oracle.depth_anything(config)
    folder = tmp_path / f"models--{entry.repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "abc"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    model.save_pretrained(snapshot)
    assert (snapshot / "model.safetensors").is_file()

    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8))
    processor = DPTImageProcessorPil(
        size={"height": 518, "width": 518},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    with torch.no_grad():
        reference = model(**processor(photo, return_tensors="pt")).predicted_depth
    expected = reference[0, :3, :3].numpy()
    error = np.abs(_top_left(name, photo) - expected).max()
    assert error < 1e-4 * float(reference.std())
    assert Path(tmp_path / "native" / name / "model.safetensors").is_file()
