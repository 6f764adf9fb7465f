"""An estimator in other processes: pickled, copied, spawned, forked."""

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

import jax_depth
from jax_depth import evaluation
from jax_depth.training import losses


@pytest.fixture(scope="module")
def estimator():
    return jax_depth.load("tiny", size=64)


PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.usefixtures("cheap_programs")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_copy_gives_the_same_bits(dtype):
    one = jax_depth.load("tiny", dtype, size=64, batch_size=2)
    copies = copy.deepcopy(one), pickle.loads(pickle.dumps(one))
    depth = one(PHOTO).values
    for two in copies:
        assert (two.size, two.batch_size, two.resample) == (64, 2, one.resample)
        assert two.config == one.config
        np.testing.assert_array_equal(two(PHOTO).values, depth)


def depth_of(estimator):
    return estimator(PHOTO).values


@pytest.mark.slow
def test_a_spawned_worker(estimator):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        values = pool.apply(depth_of, (estimator,))
    np.testing.assert_allclose(values, depth_of(estimator), rtol=1e-4, atol=1e-4)


PIXELS = np.zeros((1, 28, 28, 3), np.float32)
KEY = jax.random.key(0)
MAP, MASK = (
    np.arange(1, 65, dtype=np.float32).reshape(1, 8, 8),
    np.ones((1, 8, 8), bool),
)


def in_a_fork(estimator, use):
    """Return what a forked child says of computing."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no pytest in here
        signal.alarm(60)  # a hang fails the test, and nothing else
        try:
            use(estimator)
            said = "computed"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "use",
    [
        depth_of,
        copy.deepcopy,
        lambda _: jax_depth.load("tiny", size=64),
        lambda x: list(x.stream([PHOTO])),
        lambda x: list(x.clip([PHOTO])),
        lambda x: x.views([PHOTO]),
        lambda x: x.prompted(PHOTO, PHOTO),
        lambda x: jax_depth.predict(x.params, PHOTO[None], x.config),
        lambda x: jax_depth.forward(x.params, PIXELS, x.config),
        lambda x: jax_depth.features(x.params, PIXELS, x.config),
        lambda x: jax_depth.init(x.config, KEY),
        lambda _: losses.affine_invariant(MAP, MAP, MASK),
        lambda _: losses.normalize(MAP, MASK),
        lambda _: evaluation.masked_metrics(MAP, MAP, MASK),
        lambda _: jax_depth.load_params("tiny"),
        lambda x: jax_depth.save_params("never-written", x.params, x.config),
    ],
)
def test_a_forked_child_says_what_to_do(estimator, use):
    said = in_a_fork(estimator, use)
    assert said.startswith("RuntimeError") and "spawn" in said and "\n" not in said


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_pool_answers(estimator):
    # A worker that fails to unpickle its task ends, and its pool waits for ever.
    with multiprocessing.get_context("fork").Pool(1) as pool:
        for function, given in ((depth_of, estimator), (estimator, PHOTO)):
            with pytest.raises(RuntimeError, match="spawn"):
                pool.apply_async(function, (given,)).get(60)


def test_a_child_forked_before_anything_computes_may_compute():
    program = """if True:
        import multiprocessing
        import jax_depth

        def run(size):
            return jax_depth.load("tiny", size=size)(PHOTO).shape

        PHOTO = jax_depth.formats.image.np.zeros((28, 42, 3), "uint8")
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print(pool.apply(run, (28,)))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True
    )
    assert done.stdout == "(28, 42)\n", done.stderr
