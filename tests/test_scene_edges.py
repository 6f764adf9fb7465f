"""Soft edges, on a rendered scene whose surfaces are known."""

import numpy as np
import pytest
import ray_caster
from scipy import ndimage

from jax_depth.depth_map import DepthMap
from jax_depth.outputs import scene
from jax_depth.outputs.scene import edges
from jax_depth.outputs.scene.surface import lift

SHAPE = ray_caster.HEIGHT, ray_caster.WIDTH


def soft_room():
    """Return the box before its wall, its edges as soft as a network's."""
    depth, _ = ray_caster.cast()
    inverse = ndimage.gaussian_filter(1 / depth, 1.5, mode="nearest")
    return DepthMap((1 / inverse).astype(np.float32), "metric_depth")


def lost_and_wrong(surface):
    """Return the share of pixels without a point, and of points in empty space."""
    off = ray_caster.distance_to_surfaces(surface.points)
    return 1 - len(surface.points) / np.prod(SHAPE), np.mean(off > 0.1)


def test_soft_edges_leave_no_halo(monkeypatch):
    photo = np.zeros((*SHAPE, 3), np.uint8)
    camera = scene.camera_from_focal(SHAPE, ray_caster.FOCAL)
    lost, wrong = lost_and_wrong(lift(soft_room(), photo, camera))
    monkeypatch.setattr(edges, "snapped", lambda z, steep, leaning: z)
    lost_before, wrong_before = lost_and_wrong(lift(soft_room(), photo, camera))
    assert lost_before > 0.01 and lost < lost_before / 10
    assert wrong < wrong_before / 10


def test_hard_edges_and_low_floors_stay_as_they_are():
    depth, _ = ray_caster.cast()
    z, none = depth, np.zeros(SHAPE, bool)
    assert edges.snapped(z, none, none) is z
    # A floor seen at a low angle is steep over a wide strip, not along a line.
    rows = np.arange(10, 110.0)
    floor = np.repeat((300 / rows)[:, None], 60, 1)
    steep = np.repeat((rows < 60)[:, None], 60, 1)
    np.testing.assert_array_equal(edges.snapped(floor, steep, steep), floor)


@pytest.mark.parametrize("wide", [1, 2, 5, 9])
def test_a_pixel_between_two_surfaces_belongs_to_one(wide):
    ramp = np.linspace(1, 3, wide + 2)[1:-1]
    row = np.concatenate([np.full(150, 1.0), ramp, np.full(150, 3.0)])
    z = np.tile(row, (150, 1))
    steep = (z > 1) & (z < 3)
    hard = edges.snapped(z, steep, steep)
    assert set(np.unique(hard)) == {1.0, 3.0}
    want = np.where(np.log(z) <= np.log(3) / 2 + 1e-9, 1.0, 3.0)  # halfway in ratio
    np.testing.assert_array_equal(hard, want)
