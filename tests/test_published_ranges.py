"""The study this project came from, where the published weights are at hand.

LiheYoung/Depth-Anything issue 157 (April 2024) ran V1 over the pictures in that
repository's assets/examples. To run this: let the weights be cached, and set
JAX_DEPTH_STUDY_PHOTOS to that folder, JAX_DEPTH_GOLDEN_PHOTO to COCO val2017
000000039769.jpg.
"""

import os

import numpy as np
import pytest
from published_slices import PUBLISHED_SLICES

from jax_depth import preprocess, weights
from jax_depth.cli.photos import find_photos
from jax_depth.formats.image import read_image
from jax_depth.models.depth_anything import activate
from jax_depth.study.findings import typical_range, verdict
from jax_depth.study.models import open_models
from jax_depth.study.probe import probe
from jax_depth.study.run import begin, run

# "About 0-20, 0-100 and 0-220".
ABOUT = {
    "depth-anything-small": 20.0,
    "depth-anything-base": 100.0,
    "depth-anything-large": 220.0,
}


def _needed(variable: str, *names: str) -> str:
    for name in names:
        if not weights.is_cached(name):
            pytest.skip(f"the weights of {name} are not cached on this machine")
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    return value


@pytest.mark.weights
def test_the_ranges_of_the_thread(tmp_path):
    folder = _needed("JAX_DEPTH_STUDY_PHOTOS", *ABOUT)
    photos, _ = find_photos([folder], tmp_path)
    assert photos
    models = open_models(list(ABOUT))
    study = begin(models)
    list(run(study, models, ((str(p.path), read_image(p.path)) for p in photos)))
    for name, about in ABOUT.items():
        found = typical_range(study, name)
        assert found is not None and found.minimum >= 0
        largest = max(p.seen[name].raw.maximum for p in study.pictures)
        # "About", read off pictures in a thread: within a factor of 1.5.
        assert about / 1.5 < largest < about * 1.5, (name, largest)
    assert verdict(study)[0].startswith("Token norm cannot reach")


@pytest.mark.weights
@pytest.mark.parametrize("name", PUBLISHED_SLICES)
def test_the_study_sees_the_published_pixels(name):
    photo = _needed("JAX_DEPTH_GOLDEN_PHOTO", name)
    (estimator,) = open_models([name], resample="transformers").values()
    pixels = preprocess(photo, estimator.config, resample="transformers")
    raw = probe(estimator.params, pixels, estimator.config)["raw"]
    depth = np.asarray(activate(raw[None], estimator.config))[0]
    golden = PUBLISHED_SLICES[name]
    # Published to four decimals.
    np.testing.assert_allclose(depth[:3, :3], golden, rtol=1e-4, atol=1e-4)
