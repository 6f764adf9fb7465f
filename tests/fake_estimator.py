"""A model for the tests of the command line: depth is the red channel, no network."""

import types

import numpy as np

from jax_depth.inference.depth_map import DepthMap


class FakeEstimator:
    """Maps each picture to its red channel; refuses pictures of refused widths."""

    def __init__(self, kind="inverse_depth", batch_size=3, refused=()):
        self.config = types.SimpleNamespace(name="fake", kind=kind)
        self.batch_size = batch_size
        self.refused = dict(refused)
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        for image in images:
            if image.shape[1] in self.refused:
                raise self.refused[image.shape[1]]
        unit = "m" if self.config.kind == "metric_depth" else None
        return [
            DepthMap(image[..., 0].astype(np.float32), self.config.kind, unit, "fake")
            for image in images
        ]
