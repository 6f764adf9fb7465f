"""A new head learns whatever its last bias: the loss sees it before its ReLU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_depth.data import Loader
from jax_depth.models.depth_anything import forward
from jax_depth.models.initialize import init
from jax_depth.training.feed import TrainingRows
from jax_depth.training.objectives import objective
from jax_depth.training.optimizer import from_settings
from jax_depth.training.overrides import override
from jax_depth.training.recipes import RECIPES
from jax_depth.training.shapes import Shapes
from jax_depth.training.start import model_config
from jax_depth.training.step import Batch, init_state, make_step, normalize_rgb

SEEDS = 8
RECIPE = override(RECIPES["smoke"], ["data.size=28", "optimizer.warmup=0"])
CONFIG = model_config(RECIPE)
OPTIMIZER = from_settings(RECIPE.optimizer, 30, CONFIG)

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(scope="module")
def batches():
    loader = Loader([Shapes(count=64)], TrainingRows(RECIPE), batch_size=8, seed=0)
    return [Batch(**loader.batch(step).arrays) for step in range(30)]


STEP = make_step(CONFIG, OPTIMIZER, objective(RECIPE.loss, CONFIG, ("labelled",)))


def as_torch_draws_it(key):
    """Return parameters whose head is drawn as torch's Conv2d draws it by default."""
    params = init(CONFIG, key)
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    drawn = []
    for i, (path, leaf) in enumerate(leaves):
        names = [part.key for part in path]
        if names[0] == "head":
            owner = functools.reduce(lambda node, name: node[name], names[:-1], params)
            bound = 1 / np.sqrt(np.prod(owner["kernel"].shape[:-1]))
            draw = jax.random.uniform(jax.random.fold_in(key, i), leaf.shape)
            leaf = bound * (2 * draw - 1)
        drawn.append(leaf)
    return jax.tree.unflatten(tree, drawn)


@pytest.mark.long
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(functools.partial(init, CONFIG), marks=pytest.mark.long),
        as_torch_draws_it,
    ],
)
def test_eight_of_eight_seeds_learn(draw, batches):
    draw = jax.jit(draw)
    depth = jax.jit(functools.partial(forward, config=CONFIG))
    pixels = normalize_rgb(jnp.asarray(batches[0].rgb), CONFIG)
    dead = []
    for seed in range(SEEDS):
        params = draw(jax.random.key(seed))
        # Where the ReLU gives 0 everywhere nothing would ever change.
        dead.append(not (np.asarray(depth(params, pixels)) > 0).any())
        state, values = init_state(params, OPTIMIZER), []
        for batch in batches:
            state, metrics = STEP(state, batch)
            values.append(float(metrics["labelled/affine_invariant"]))
        first, last = np.mean(values[:3]), np.mean(values[-3:])
        assert last < 0.8 * first, (seed, first, last)
    if draw.__wrapped__ is as_torch_draws_it:
        assert 0 < sum(dead) < SEEDS, dead
