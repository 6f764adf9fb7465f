"""The authors' Depth Anything 3 itself, where it is installed, beside ours.

`tests/oracle-requirements.txt` says what to install. The published small model at full
width is tier `long`.
"""

import dataclasses

import depth_anything_3_oracle as oracle
import jax
import numpy as np
import pytest
from test_depth_anything_3 import TOLERANCE, error, golden, run

import jax_depth
import jax_depth_convert
from jax_depth.catalog import MODELS
from jax_depth.models.depth_anything import features

pytest.importorskip("depth_anything_3", exc_type=ImportError)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["one-view-odd-grid", "odd-start", "mono"])
def test_the_golden_file_is_what_the_authors_code_says(case):
    stages = oracle.run_case(case)
    for key, array in golden().items():
        if key.startswith(f"{case}/"):
            found = stages[key.removeprefix(f"{case}/")]
            thin = found.shape != array.shape
            assert error(found[..., ::4] if thin else found, array) < 1e-4, key


@pytest.mark.slow
def test_whole_networks_agree_without_the_golden_file():
    stages = oracle.run_case("four-views-two-scenes")
    _, output = run("four-views-two-scenes")
    for name in ("depth", "confidence", "extrinsics", "intrinsics", "rays"):
        assert error(getattr(output, name), stages[name]) < TOLERANCE, name


# Views, size, options of the network: all sizes, strategies, cameras, an odd grid.
FULL_WIDTH = [
    *((views, (252, 336), {}) for views in (1, 2, 5)),
    *((views, (504, 378), {}) for views in (1, 2, 5)),
    (1, (238, 350), {}),
    (2, (252, 336), {"cameras": True}),
    # "saddle_sim_range" ties between the two views most alike wherever all are alike to
    # some degree, as here: rounding decides. It is compared at toy width.
    *((5, (252, 336), {"reference": name}) for name in ("first", "middle")),
]


@pytest.mark.long
@pytest.mark.parametrize(("views", "size", "options"), FULL_WIDTH, ids=str)
def test_the_small_model_at_full_width(views, size, options):
    config = MODELS["depth-anything-3-small"].config
    net = oracle.network(config)
    oracle.revive(net)
    params = jax_depth_convert.from_torch(oracle.hub_state(net), config)
    rng = np.random.default_rng(views)
    pixels = rng.standard_normal((1, views, *size, 3)).astype(np.float32)
    given, theirs = {}, {}
    if options.get("cameras"):
        cameras = oracle.cameras(1, views, *size)
        given = dict(zip(("extrinsics", "intrinsics"), cameras, strict=True))
        theirs = {name: torch_of(x) for name, x in given.items()}
    strategy = options.get("reference", "saddle_balanced")
    expected = oracle.run(net, pixels, ref_view_strategy=strategy, **theirs)

    @jax.jit
    def ours(params, pixels, given):
        stages = features(params, pixels, config, reference=strategy, **given)
        output = jax_depth.apply(params, pixels, config, reference=strategy, **given)
        return stages, output

    stages, output = ours(params, pixels, given)
    if views > 2:
        assert output.reference.tolist() == expected["reference"].tolist()
    for name in ("tap_0", "tap_3", "camera_3", "level_4", "path_1", "output_1"):
        assert error(stages[name], expected[name]) < TOLERANCE, name
    for name in ("raw", "confidence_raw", "rays_raw"):
        assert error(stages[name], expected[name]) < TOLERANCE, name
    assert np.abs(np.log(output.depth) - expected["raw"]).max() < TOLERANCE
    assert np.abs(output.extrinsics - expected["extrinsics"]).max() < TOLERANCE
    assert np.allclose(output.intrinsics, expected["intrinsics"], rtol=1e-5)


def torch_of(array):
    import torch

    return torch.from_numpy(array)


@pytest.mark.long
def test_mono_of_four_blocks_at_full_width():
    config = MODELS["depth-anything-3-mono-large"].config
    encoder = dataclasses.replace(config.encoder, depth=4, taps=(0, 1, 2, 3))
    config = dataclasses.replace(config, encoder=encoder)
    net = oracle.network(config)
    oracle.revive(net)
    params = jax_depth_convert.from_torch(oracle.hub_state(net), config)
    pixels = np.random.default_rng(0).standard_normal((2, 1, 252, 336, 3))
    pixels = pixels.astype(np.float32)
    expected = oracle.run(net, pixels)
    stages = jax.jit(features, static_argnums=2)(params, pixels[:, 0], config)
    for name in ("tap_3", "path_1", "raw", "sky_raw"):
        assert error(stages[name], expected[name][:, 0]) < TOLERANCE, name
