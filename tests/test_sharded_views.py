"""Views over eight devices: the numbers of one, keys and values gathered."""

import re

import depth_anything_3_oracle as oracle
import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from test_depth_anything_3 import TOLERANCE, error, living_params

import jax_depth
from jax_depth.models.sharded_views import apply_sharded
from jax_depth.models.sharding import by_frame, by_position, mesh_for

MESH = mesh_for(8, jax.devices(), "views")


def _pixels(views, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((1, views, 28, 42, 3))
    return (noise * rng.uniform(0.3, 2, (1, views, 1, 1, 1))).astype(np.float32)


@pytest.mark.parametrize(
    ("views", "devices"), [(8, 8), (6, 6), (9, 3), (7, 7), (11, 1)]
)
def test_no_view_is_made_up(views, devices):
    assert mesh_for(views, jax.devices()[:8], "views").size == devices


def test_frames_are_exchanged_for_positions_and_back():
    # Two frames a device, whose number is not that of the positions to fill up.
    x = np.arange(1.0, 61, dtype=np.float32).reshape(1, 4, 5, 3)
    frames, places = PartitionSpec(None, "f"), PartitionSpec(None, None, "f")

    def exchange(x):
        moved = by_position(x, "f")
        return moved, by_frame(moved, "f", 5)

    mesh = mesh_for(2, jax.devices(), "f")
    moved, back = jax.jit(
        jax.shard_map(exchange, mesh=mesh, in_specs=frames, out_specs=(places, frames))
    )(x)
    np.testing.assert_array_equal(moved, np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0))))
    np.testing.assert_array_equal(back, x)


@pytest.mark.slow
@pytest.mark.parametrize("cameras", [False, pytest.param(True, marks=pytest.mark.long)])
def test_eight_devices_give_the_numbers_of_one(cameras):
    params, pixels = living_params(oracle.ANY_VIEW), _pixels(8)
    given = {}
    if cameras:
        one, other = oracle.cameras_of("two-views-given-cameras")
        given = {
            "extrinsics": np.tile(one, (1, 4, 1, 1)),
            "intrinsics": np.tile(other, (1, 4, 1, 1)),
        }
    apply = jax.jit(jax_depth.apply, static_argnames="config")
    expected = apply(params, pixels, config=oracle.ANY_VIEW, **given)
    found = apply_sharded(params, pixels, oracle.ANY_VIEW, MESH, **given)
    assert found.reference.tolist() == expected.reference.tolist()
    assert cameras or expected.reference.tolist() != [0]
    for name in ("depth", "confidence", "rays", "extrinsics", "intrinsics"):
        assert error(getattr(found, name), np.asarray(getattr(expected, name))) < (
            TOLERANCE
        ), name
    assert len(found.depth.sharding.device_set) == 8

    # Keys and values of each block over all views, and the class tokens once.
    text = (
        apply_sharded.lower(params, pixels, oracle.ANY_VIEW, MESH, **given)
        .compile()
        .as_text()
    )
    gathered = len(re.findall(r"= [^=]* all-gather(?:-start)?\(", text))
    blocks = [i for i in range(6) if i >= oracle.ANY_VIEW.encoder.start and i % 2]
    assert 0 < gathered <= 2 * len(blocks) + (not cameras)
    assert not re.findall(r"all-to-all\(|collective-permute\(", text)
