"""Inside the network: what the probe reads, and what edited parameters change."""

import dataclasses

import jax
import numpy as np
import pytest
import small_models
import torch

import jax_depth
from jax_depth.config import HybridConfig
from jax_depth.study import edits
from jax_depth.study.experiments import FACTOR, experiments
from jax_depth.study.probe import STAGES, from_taps, probe

pytestmark = pytest.mark.usefixtures("cheap_programs")

SCANNED = dataclasses.replace(
    small_models.RELATIVE,
    encoder=dataclasses.replace(
        small_models.GELU, scan=True, registers=4, taps=(0, 1, 2, 3)
    ),
)
CONFIGS = (
    SCANNED,
    small_models.METRIC_SWIGLU,
    small_models.HYBRID,
    small_models.REDUCED,
)


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.name)
def case(request):
    """Return a config, parameters with long tokens, and pixels."""
    config = request.param
    params = small_models.alive(config)
    patch = config.encoder.patch_size
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(1, 3 * patch, 4 * patch, 3)).astype(np.float32)
    return config, params, pixels


@pytest.mark.slow
def test_the_probe_sees_the_network_that_runs(case):
    config, params, pixels = case
    probed = jax.device_get(probe(params, pixels, config))
    encoder = config.encoder
    if not isinstance(encoder, HybridConfig):
        encoder = dataclasses.replace(encoder, scan=False)
    plain = dataclasses.replace(config, encoder=encoder)
    named = jax.device_get(
        jax.jit(jax_depth.features, static_argnums=2)(params, pixels, plain)
    )
    raw = named["raw"][0]
    np.testing.assert_allclose(probed["raw"], raw, atol=2e-5 * np.ptp(raw))
    blocks = [named["embedding"]]
    blocks += [named[f"block_{i}"] for i in range(encoder.depth)]
    norm = params["encoder"]["norm"]
    for k, tokens in enumerate(blocks):
        want = np.linalg.norm(tokens[0].astype(np.float64), axis=-1)
        np.testing.assert_allclose(probed["before"][k], want, rtol=1e-5)
        after = torch.nn.functional.layer_norm(
            torch.from_numpy(np.array(tokens[0], np.float64)),
            tokens.shape[-1:],
            *(
                torch.from_numpy(np.array(norm[n], np.float64))
                for n in ("scale", "bias")
            ),
            1e-6,
        )
        np.testing.assert_allclose(
            probed["after"][k], after.norm(dim=-1).numpy(), rtol=1e-4
        )
    assert list(probed["rms"]) and set(probed["rms"]) == set(STAGES)
    for stage in ("path_2", "output_1", "output_2", "raw"):
        want = np.sqrt(np.mean(np.square(named[stage], dtype=np.float64)))
        np.testing.assert_allclose(probed["rms"][stage], want, rtol=1e-4)
    levels = [np.mean(np.square(named[f"level_{i}"])) for i in (1, 2, 3, 4)]
    np.testing.assert_allclose(
        probed["rms"]["levels"], np.sqrt(np.mean(levels)), rtol=1e-4
    )


def test_the_head_continues_from_the_taps(case):
    config, params, pixels = case
    probed = probe(params, pixels, config)
    size = pixels.shape[1], pixels.shape[2]
    raw = from_taps(params, probed["tapped"], probed["stem"], config, size)
    np.testing.assert_allclose(
        raw, probed["raw"], atol=1e-5 * float(np.ptp(probed["raw"]))
    )
    level = [edits.to_one_norm(tokens) for tokens in probed["tapped"]]
    lengths = np.linalg.norm(np.asarray(level[0]), axis=-1)
    np.testing.assert_allclose(lengths, lengths[0, 0], rtol=1e-5)
    again = from_taps(params, level, probed["stem"], config, size)
    np.testing.assert_allclose(again, raw, atol=1e-4 * float(np.ptp(raw)))


def test_tokens_of_any_length_give_the_same_map(case):
    config, params, pixels = case
    plain = jax.device_get(probe(params, pixels, config))
    longer = edits.scale_tokens(params, config, 8.0)
    moved = jax.device_get(probe(longer, pixels, config))
    np.testing.assert_allclose(moved["before"], 8 * plain["before"], rtol=1e-4)
    np.testing.assert_allclose(
        moved["raw"], plain["raw"], atol=1e-4 * np.ptp(plain["raw"])
    )


def test_the_last_layer_alone_sets_the_scale(case):
    config, params, pixels = case
    plain = jax.device_get(probe(params, pixels, config))
    scaled = probe(edits.scale_last_layer(params, 8.0), pixels, config)
    np.testing.assert_array_equal(scaled["raw"], 8 * plain["raw"])
    np.testing.assert_array_equal(scaled["before"], plain["before"])
    shifted = probe(edits.shift_last_layer(params, 3.0), pixels, config)
    np.testing.assert_allclose(shifted["raw"], plain["raw"] + 3, rtol=1e-6)


@pytest.mark.slow
def test_the_experiments_tell_a_free_range_from_a_fixed_one(case):
    config, params, pixels = case
    ramp = np.linspace(0.1, 1, pixels.shape[1], dtype=np.float32)
    target = np.repeat(ramp[:, None], pixels.shape[2], axis=1)
    outcomes = {o.name: o for o in experiments(params, config, pixels, target)}
    plain, large = outcomes["unchanged"], outcomes[f"last layer × {FACTOR:g}"]
    for name in (f"every token × {FACTOR:g}", "tapped tokens all of one norm"):
        assert abs(outcomes[name].spread - 1) < 1e-3 and outcomes[name].shape < 1e-3
    if config.kind == "inverse_depth":
        # A power of two: bit for bit.
        assert (large.loss, large.spread, large.shape) == (plain.loss, 8, 0)
        assert (large.abs_rel, large.d1) == (plain.abs_rel, plain.d1)
    else:
        assert large.shape > 0.01 and large.loss != plain.loss
    assert len(outcomes) == 6 + isinstance(config.encoder, HybridConfig)
    if isinstance(config.encoder, HybridConfig):
        assert outcomes[f"stem maps × {FACTOR:g}"].shape > 0.01


def test_a_constant_map_is_not_edited(case):
    config, params, pixels = case
    dead = edits.scale_last_layer(params, 0.0)
    with pytest.raises(ValueError, match="is constant"):
        experiments(dead, config, pixels, np.ones(pixels.shape[1:3], np.float32))
