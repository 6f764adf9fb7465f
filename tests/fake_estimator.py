"""For tests of the command line: a model without network, photos, and what is there."""

import os
import types

import numpy as np
from PIL import Image

from jax_depth.depth_map import DepthMap
from jax_depth.inference.stream import stream
from jax_depth.models.output import Output


class FakeEstimator:
    """Maps each picture to its red channel; refuses pictures of refused widths."""

    def __init__(self, kind="inverse_depth", batch_size=3, refused=()):
        self.config = types.SimpleNamespace(
            name="fake", kind=kind, canonical_focal=None
        )
        self.batch_size = batch_size
        self.refused = dict(refused)
        self.batches = []
        self.loads = []  # the arguments of each command that asked for a model

    def prepare(self, picture, *, name=None):
        return picture[None]

    def run(self, pixels):
        self.batches.append(len(pixels))
        if pixels.shape[2] in self.refused:
            raise self.refused[pixels.shape[2]]
        return Output(pixels[..., 0].astype(np.float32))

    def finish(self, output, shape):
        unit = "m" if self.config.kind == "metric_depth" else None
        return DepthMap(output.depth, self.config.kind, unit, "fake")

    def stream(self, items, *, read=None):
        return stream(items, self, read=read)

    def __call__(self, images):
        return [depth for _, depth in self.stream(images)]


def put_in_place(monkeypatch, command):
    """Put a fake model in place of every other that a command loads; return it."""
    estimator = FakeEstimator()

    def load(args):
        estimator.loads.append(args)
        return estimator

    monkeypatch.setattr(command, "load_estimator", load)
    return estimator


def photo(path, seed=0, size=(12, 17)):
    """Write a picture of noise and return it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def listing(folder="depth_out"):
    """Return all files below a folder, relative and sorted."""
    return sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
    )
