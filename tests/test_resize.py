"""In-network resizes against the torch operators they copy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import GELU

from jax_depth.models import resize, symbolic
from jax_depth.models.resize import (
    bilinear_weights,
    resize_bicubic,
    resize_bilinear,
)
from jax_depth.models.vit import resize_positions

SIZES = [
    ((13, 17), (37, 30)),
    ((37, 49), (74, 98)),
    ((3, 4), (5, 9)),
    ((8, 5), (3, 5)),
    ((1, 1), (4, 6)),
    ((5, 7), (1, 1)),
    ((2, 1), (1, 3)),
]


def _map(size, batch=2, channels=3):
    rng = np.random.default_rng(sum(size))
    return rng.normal(size=(batch, *size, channels)).astype(np.float32)


def _torch(x, **kwargs):
    y = F.interpolate(torch.from_numpy(np.moveaxis(x, -1, 1)), **kwargs)
    return np.moveaxis(y.numpy(), 1, -1)


@pytest.mark.parametrize("size, target", SIZES)
def test_bilinear_equals_torch(size, target):
    x = _map(size)
    expected = _torch(x, size=target, mode="bilinear", align_corners=True)
    np.testing.assert_allclose(resize_bilinear(x, target), expected, atol=1e-6)


@pytest.mark.parametrize("size, target", SIZES)
def test_bicubic_equals_torch(size, target):
    x = _map(size)
    expected = _torch(x, size=target, mode="bicubic")
    np.testing.assert_allclose(resize_bicubic(x, target), expected, atol=3e-6)


@pytest.mark.parametrize("grid", [(37, 49), (18, 26), (1, 2), (37, 66), (74, 36)])
def test_bicubic_with_offset_equals_the_original(grid):
    # dinov2's own call: the +0.1 reaches the sampling step through scale_factor.
    x = _map((37, 37), batch=1, channels=5)
    scale = tuple((n + 0.1) / 37 for n in grid)
    expected = _torch(x, scale_factor=scale, mode="bicubic")
    assert expected.shape[1:3] == grid
    actual = resize_bicubic(x, grid, offset=0.1)
    np.testing.assert_allclose(actual, expected, atol=3e-6)


@pytest.mark.parametrize(
    "size, target", [s for s in SIZES if min(s[0]) > 1] + [((37, 37), (16, 20))]
)
def test_antialiased_bicubic_equals_torch(size, target):
    x = _map(size)
    expected = _torch(x, size=target, mode="bicubic", antialias=True)
    actual = resize_bicubic(x, target, antialias=True)
    np.testing.assert_allclose(actual, expected, atol=3e-6)


def test_antialias_takes_no_offset():
    with pytest.raises(ValueError, match="position_offset"):
        resize_bicubic(_map((4, 4)), (3, 3), offset=0.1, antialias=True)


def test_gradient_equals_torch():
    x, cotangent = _map((5, 7)), _map((9, 4))
    _, pullback = jax.vjp(lambda x: resize_bilinear(x, (9, 4)), jnp.asarray(x))
    t = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).requires_grad_()
    y = F.interpolate(t, size=(9, 4), mode="bilinear", align_corners=True)
    y.backward(torch.from_numpy(np.moveaxis(cotangent, -1, 1).copy()))
    expected = np.moveaxis(t.grad.numpy(), 1, -1)
    np.testing.assert_allclose(pullback(cotangent)[0], expected, atol=1e-5)


@pytest.mark.parametrize("size, target", [((5, 7), (9, 11)), ((6, 4), (3, 4))])
def test_bilinear_on_every_platform_and_its_gradient(size, target):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    cotangent = rng.normal(size=(2, *target, 3)).astype(np.float32)
    actual, pullback = jax.vjp(lambda x: resize_bilinear(x, target), x)
    # The products that accelerators run, against the gathers that ran here.
    rows = bilinear_weights(size[0], target[0])
    columns = bilinear_weights(size[1], target[1])
    products = np.einsum("ih,jw,bhwc->bijc", rows, columns, x, dtype=np.float64)
    np.testing.assert_allclose(actual, products, atol=1e-6)

    t = torch.from_numpy(x.transpose(0, 3, 1, 2)).requires_grad_()
    y = F.interpolate(t, target, mode="bilinear", align_corners=True)
    y.backward(torch.from_numpy(cotangent.transpose(0, 3, 1, 2)))
    expected = t.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(pullback(cotangent)[0], expected, atol=2e-6)


@pytest.mark.parametrize("n_in, n_out", [(5, 9), (9, 5), (1, 4), (4, 1), (7, 7)])
def test_weights_of_symbolic_sizes_are_those_of_numbers(n_in, n_out):
    for name, offset in (("bilinear_weights", ()), ("bicubic_weights", (0.1,))):
        expected = getattr(resize, name)(n_in, n_out, *offset)
        actual = getattr(symbolic, name)(n_in, n_out, *offset)
        # Positions below 10 in float32, where the kernel is steep.
        np.testing.assert_allclose(actual, expected, atol=1e-5, err_msg=name)
    expected = resize.antialiased_weights(n_in, n_out)
    actual = symbolic.antialiased_weights(n_in, n_out)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(
    "positions", [{"position_offset": 0.1}, {"position_antialias": True}]
)
def test_a_position_table_of_symbolic_size_is_that_of_numbers(as_installed, positions):
    config = dataclasses.replace(GELU, **positions)
    table = np.random.default_rng(0).normal(size=(1, 16, 3)).astype(np.float32)
    rows, columns = jax.export.symbolic_shape("h, w")
    of_all_sizes = jax.export.export(
        jax.jit(lambda picture: resize_positions(table, picture.shape, config))
    )(jax.ShapeDtypeStruct((rows, columns), np.float32))
    # The trained size, which is not resized at all; and one side of it, which is.
    for size in ((4, 4), (4, 6), (6, 4), (2, 3)):
        expected = resize_positions(jnp.asarray(table), size, config)
        found = of_all_sizes.call(np.zeros(size, np.float32))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
