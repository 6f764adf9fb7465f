"""Metrics inside jit: golden numbers in float64, as NumPy's, on any devices."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jax_depth import evaluation
from jax_depth.evaluation import align_disparity, masked_metrics
from jax_depth.evaluation.metrics import depth_metrics


def test_golden_numbers_in_float64(scene):
    depth, wrong, mask = scene
    holes = np.where(mask, depth, np.nan)
    with jax.enable_x64(True):
        found = jax.jit(masked_metrics)(wrong[None], holes[None], mask[None])
    # Depth Anything V2, metric_depth/util/metric.py, and ZoeDepth's silog.
    want = {
        "abs_rel": 0.0635983530,
        "sq_rel": 0.0133439368,
        "rmse": 0.2047717914,
        "rmse_log": 0.0708880123,
        "log10": 0.0276694618,
        "silog": 0.0708762230,
        "silog_kitti": 7.0864431831,
    }
    for name, value in want.items():
        assert found[name].dtype == np.float64
        np.testing.assert_allclose(found[name][0], value, rtol=1e-6, err_msg=name)
    numpy = depth_metrics(wrong[mask], depth[mask])
    for name in set(found) - {"pixels"}:
        np.testing.assert_allclose(found[name][0], numpy[name], rtol=1e-12)
    assert int(found["pixels"][0]) == mask.sum()


def test_alignment_is_that_of_evaluate(scene):
    depth, wrong, mask = scene
    pred = 50 / wrong + 1e4
    want = evaluation.evaluate(pred, depth, mask)
    with jax.enable_x64(True):
        metres = jax.jit(align_disparity)(pred[None], depth[None], mask[None])
        found = masked_metrics(metres, jnp.asarray(depth)[None], mask[None])
    for name in ("abs_rel", "rmse", "silog", "d1", "d2", "d3"):
        np.testing.assert_allclose(found[name][0], want[name], rtol=1e-9)


def test_an_empty_and_a_constant_image_beside_a_good_one(scene):
    depth, wrong, mask = scene
    pred = np.stack([50 / wrong, 50 / wrong, np.full_like(depth, 0.1)])
    depths, masks = np.stack([depth] * 3), np.stack([mask, mask & False, mask])
    pred, depths = pred.astype(np.float32), depths.astype(np.float32)
    found = masked_metrics(align_disparity(pred, depths, masks), depths, masks)
    assert all(np.isfinite(x).all() for x in found.values())
    assert int(found["pixels"][1]) == 0 and float(found["abs_rel"][1]) == 0
    for k in (0, 2):
        want = evaluation.evaluate(pred[k], depths[k], mask)
        np.testing.assert_allclose(found["abs_rel"][k], want["abs_rel"], rtol=1e-5)


def test_split_over_devices_nothing_changes(scene):
    depth, wrong, mask = scene
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.5, 2, (8, 1, 1)).astype(np.float32)
    arrays = (
        (wrong * scale).astype(np.float32),
        np.stack([depth.astype(np.float32)] * 8),
        np.stack([mask] * 8),
    )
    want = jax.jit(masked_metrics)(*arrays)
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    found = jax.jit(masked_metrics)(*(jax.device_put(a, split) for a in arrays))
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
