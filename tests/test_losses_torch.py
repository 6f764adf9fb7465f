"""Values and gradients of the losses against torch's autograd in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from golden_scene import golden_scene

from jax_depth.training import losses


def normalized(x, mask):
    t = torch.quantile(x[mask], 0.5)
    return (x - t) / (x[mask] - t).abs().mean()


def residuals(pred, target, mask):
    return (normalized(pred, mask) - normalized(target, mask)).abs()[mask]


def kept(residual, trim):
    return residual.sort().values[: int((1 - trim) * residual.numel())]


def gradients(difference, mask):
    total = 0.0
    for k in range(4):
        d, m = difference[:: 2**k, :: 2**k], mask[:: 2**k, :: 2**k]
        along_x = (d[:, 1:] - d[:, :-1]).abs()[m[:, 1:] & m[:, :-1]].sum()
        along_y = (d[1:] - d[:-1]).abs()[m[1:] & m[:-1]].sum()
        total = total + (along_x + along_y) / m.sum()
    return total


def least_squares(pred, target, mask):
    x, y = pred[mask], target[mask]
    columns = torch.stack([x, torch.ones_like(x)], 1)
    scale, shift = torch.linalg.lstsq(columns, y[:, None]).solution[:, 0]
    return ((scale * x + shift - y) ** 2).mean() / 2


def silog(pred, target, mask, focus):
    g = target[mask].log() - pred[mask].log()
    return ((g**2).mean() - focus * g.mean() ** 2).sqrt()


REGION = np.arange(48)[None, :] < 20 + np.zeros((32, 1), int)


def cutmix(pred, target, mask):
    region = torch.from_numpy(REGION)
    parts = [mask & region, mask & ~region]
    each = [residuals(pred, target, part).mean() * part.sum() for part in parts]
    return sum(each) / mask.sum()


# Name -> ours on a batch of one, theirs on a picture; of disparity, then of metres.
RELATIVE = {
    "affine_invariant": (
        losses.affine_invariant,
        lambda p, t, m: residuals(p, t, m).mean(),
    ),
    "worst tenth ignored": (
        lambda p, t, m: losses.affine_invariant(p, t, m, trim=0.1),
        lambda p, t, m: kept(residuals(p, t, m), 0.1).mean(),
    ),
    "trimmed": (
        losses.trimmed,
        lambda p, t, m: kept(residuals(p, t, m), 0.2).sum() / (2 * m.sum()),
    ),
    "least_squares": (losses.least_squares, least_squares),
    "gradient_matching": (
        lambda p, t, m: losses.gradient_matching(
            losses.normalize(p, m), losses.normalize(t, m), m
        ),
        lambda p, t, m: gradients(normalized(p, m) - normalized(t, m), m),
    ),
    "cutmix_consistency": (
        lambda p, t, m: losses.cutmix_consistency(p, t, jnp.asarray(REGION)[None], m),
        cutmix,
    ),
}
METRIC = {
    "silog": (losses.silog, lambda p, t, m: silog(p, t, m, 0.5)),
    "silog, focus .85": (
        lambda p, t, m: losses.silog(p, t, m, variance_focus=0.85),
        lambda p, t, m: silog(p, t, m, 0.85),
    ),
    "log_gradient": (
        losses.log_gradient,
        lambda p, t, m: gradients(p.log() - t.log(), m),
    ),
}


OURS = {
    name: jax.jit(jax.value_and_grad(ours))
    for name, (ours, _) in (RELATIVE | METRIC).items()
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", OURS)
def test_value_and_gradient_are_torchs(name, masked):
    depth, wrong, mask = golden_scene()
    if not masked:
        mask = np.ones_like(mask)
    metric = name in METRIC
    _, theirs = (METRIC if metric else RELATIVE)[name]
    pred, target = (wrong, depth) if metric else (50 / wrong + 20, 1 / depth)
    x = torch.tensor(pred, dtype=torch.float64, requires_grad=True)
    want = theirs(x, torch.tensor(target), torch.tensor(mask))
    want.backward()
    arrays = (jnp.asarray(v[None], jnp.float32) for v in (pred, target))
    value, gradient = OURS[name](*arrays, jnp.asarray(mask[None]))
    np.testing.assert_allclose(value, float(want.detach()), rtol=1e-5)
    reference = x.grad.numpy()
    # Each entry is a sum of terms as large as the largest, some of which cancel.
    tolerance = 1e-5 * np.abs(reference).max()
    np.testing.assert_allclose(gradient[0], reference, rtol=0, atol=tolerance)


@pytest.mark.parametrize("masked", [False, True])
def test_medians_and_spreads(masked):
    """Values by NumPy in float64."""
    depth, wrong, mask = golden_scene()
    if not masked:
        mask = np.ones_like(mask)
    golden = {
        "prediction": [(40.4449013119, 6.2781975357), (40.4449013119, 6.2669417323)],
        "target": [(0.4056811823, 0.1229049424), (0.4048582996, 0.1226558641)],
    }
    for name, x in {"prediction": 50 / wrong + 20, "target": 1 / depth}.items():
        given = jnp.asarray(x[None], jnp.float32), jnp.asarray(mask[None])
        got = [float(v[0]) for v in losses.median_and_spread(*given)]
        np.testing.assert_allclose(got, golden[name][masked], rtol=1e-5)
