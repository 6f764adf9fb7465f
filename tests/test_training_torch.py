"""One optimiser step against torch in float64, from the same random weights.

The network is transformers', the losses are written from the papers and the released
script, the optimiser is torch.optim.AdamW with the script's groups.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
import small_models
import torch

import jax_depth_convert
from jax_depth import checkpoint
from jax_depth.training.objectives import objective
from jax_depth.training.optimizer import from_settings
from jax_depth.training.recipes import RECIPES
from jax_depth.training.step import Batch, init_state, make_step, normalize_rgb

METRIC = dataclasses.replace(
    small_models.RELATIVE, name="small-metric", kind="metric_depth", max_depth=20.0
)
CASES = {
    "silog": (METRIC, RECIPES["metric-indoor"]),
    "ssi + 2 gm": (small_models.RELATIVE, RECIPES["v2-teacher"]),
}
STEPS = 100


def batch(metric: bool) -> Batch:
    generator = np.random.default_rng(5)
    rgb = generator.integers(0, 256, (2, 56, 56, 3), dtype=np.uint8)
    i, j = np.mgrid[:56, :56]
    depth = 1 + 0.05 * i + 0.02 * j + generator.uniform(0, 1, (2, 56, 56))
    depth[:, 20:40, 10:30] += 3
    target = (depth if metric else 1 / depth).astype(np.float32)
    mask = np.broadcast_to((5 * i + 3 * j) % 11 != 0, target.shape).copy()
    return Batch(rgb, target, mask, np.zeros(2, bool))


def silog(pred, target, mask):
    """Depth-Anything-V2 metric_depth/util/loss.py, for one picture."""
    g = torch.log(target[mask]) - torch.log(pred[mask])
    return torch.sqrt((g**2).mean() - 0.5 * g.mean() ** 2)


def ssi_and_gradients(pred, target, mask):
    """Depth Anything V2, section 7.1: both sides normalised; 1 : 2, four scales."""

    def normalized(x):
        t = torch.quantile(x[mask], 0.5)
        return (x - t) / (x[mask] - t).abs().mean()

    difference = normalized(pred) - normalized(target)
    total = difference[mask].abs().mean()
    for k in range(4):
        d, m = difference[:: 2**k, :: 2**k], mask[:: 2**k, :: 2**k]
        along_x = (d[:, 1:] - d[:, :-1]).abs()[m[:, 1:] & m[:, :-1]].sum()
        along_y = (d[1:] - d[:-1]).abs()[m[1:] & m[:-1]].sum()
        total = total + 2 * (along_x + along_y) / m.sum()
    return total


def torch_step(model, settings, inputs, given: Batch, loss):
    """Return loss, Adam's first moments and parameters after a step, all float64."""
    model.double()
    groups = []
    for factor, part in ((1, "backbone."), (settings.head_factor, "")):
        for decayed in (True, False):
            chosen = [
                p
                for n, p in model.named_parameters()
                if n.startswith("backbone.") == bool(part)
                and (settings.decay_all or p.ndim > 1) == decayed
            ]
            decay = settings.weight_decay if decayed else 0.0
            rate = settings.learning_rate * factor
            groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    optimizer = torch.optim.AdamW(groups, betas=(settings.b1, settings.b2), eps=1e-8)
    pixels = torch.from_numpy(np.moveaxis(np.asarray(inputs), -1, 1).copy()).double()
    pred = model(pixels).predicted_depth
    target, mask = torch.from_numpy(given.target).double(), torch.from_numpy(given.mask)
    value = torch.stack([loss(*x) for x in zip(pred, target, mask, strict=True)]).mean()
    value.backward()
    if np.isfinite(settings.clip_norm):
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    optimizer.step()
    moments = {
        # torch leaves alone what the forward pass never reads.
        name: optimizer.state[p]["exp_avg"].numpy() if p in optimizer.state else None
        for name, p in model.named_parameters()
    }
    after = {name: p.detach().numpy() for name, p in model.named_parameters()}
    return float(value.detach()), moments, after


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [pytest.param("silog", marks=pytest.mark.long), "ssi + 2 gm"]
)
def test_one_step_is_torchs(case):
    config, recipe = CASES[case]
    # A thousand times the recipe's rate, or the step would drown in the spacing of
    # float32: the factor of the head and the decay are the recipe's.
    settings = dataclasses.replace(recipe.optimizer, learning_rate=5e-3)
    model = oracle.depth_anything(config)
    metric = config.kind == "metric_depth"
    if not metric:
        # Above the final ReLU, which the loss here does not see.
        with torch.no_grad():
            model.head.conv3.bias += 8
    before = {k: v.copy() for k, v in oracle.state(model).items()}
    params = jax_depth_convert.from_torch(before, config)

    given = batch(metric)
    optimizer = from_settings(settings, STEPS, config)
    params = jax.tree.map(lambda x: jnp.asarray(np.array(x)), params)
    terms = objective(recipe.loss, config, ("labelled",))
    state = init_state(params, optimizer)
    start = {name: np.asarray(leaf, np.float64) for name, leaf in state.trained.items()}
    state, metrics = make_step(config, optimizer, terms)(state, given)
    moments = optax.tree.get(state.optimizer, "mu")

    loss = silog if metric else ssi_and_gradients
    inputs = normalize_rgb(jnp.asarray(given.rgb), config)
    value, theirs, after = torch_step(model, settings, inputs, given, loss)
    np.testing.assert_allclose(float(metrics["loss"]), value, rtol=1e-5)

    def ours(torchs):
        return checkpoint.flatten(jax_depth_convert.from_torch(torchs, config))

    zeros = {k: np.zeros_like(after[k]) if v is None else v for k, v in theirs.items()}
    learns = {k: np.full_like(after[k], v is not None) for k, v in theirs.items()}
    after, theirs, learns = ours(after), ours(zeros), ours(learns)
    assert after.keys() == state.trained.keys()
    unread = {name for name, value in learns.items() if not value.any()}
    assert unread and all("mask_token" in n or "/rcu1/" in n for n in unread)
    for name in after.keys() - unread:
        gradient, wanted = np.asarray(moments[name]) / 0.1, theirs[name] / 0.1
        if np.linalg.norm(wanted) < 1e-9:
            # The shift of a relative map is nothing to its loss.
            assert name == "head/output_conv3/bias" and not metric
            assert np.linalg.norm(gradient) < 1e-5
            continue
        clear = np.abs(wanted) > 1e-3 * np.abs(wanted).max()
        if name.endswith("qkv/bias"):
            # A key's bias moves no attention: its gradient is 0 up to rounding.
            clear[config.encoder.width : 2 * config.encoder.width] = False
        error = np.linalg.norm(gradient - wanted) / np.linalg.norm(wanted)
        assert error <= 1e-4, (name, error)
        # Adam's first step is a sign: of gradients within rounding of 0 it says
        # nothing. In units of the group's rate, so that a wrong one shows.
        factor = settings.head_factor if name.startswith("head/") else 1.0
        rate = settings.learning_rate * factor
        steps = [(x - start[name]) / rate for x in (state.trained[name], after[name])]
        error = np.abs(steps[0] - steps[1])[clear]
        assert error.max() <= 1e-4, (name, error.max())
        assert clear.mean() > 0.2, name  # some units of the head are dead
