"""An estimator in other processes: pickled, copied, spawned, forked."""

import copy
import multiprocessing
import os
import pickle

import numpy as np
import pytest

import jax_depth


@pytest.fixture(scope="module")
def estimator():
    return jax_depth.load("tiny", size=64)


PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deep", "p"]
)
def test_a_copy_gives_the_same_bits(dtype, again):
    one = jax_depth.load("tiny", dtype, size=64, batch_size=2)
    two = again(one)
    assert (two.size, two.batch_size, two.resample) == (64, 2, one.resample)
    assert two.config == one.config
    np.testing.assert_array_equal(two(PHOTO).values, one(PHOTO).values)


def depth_of(estimator):
    return estimator(PHOTO).values


@pytest.mark.slow
def test_a_spawned_worker(estimator):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        values = pool.apply(depth_of, (estimator,))
    np.testing.assert_allclose(values, depth_of(estimator), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "use", [depth_of, copy.deepcopy, lambda _: jax_depth.load("tiny", size=64)]
)
def test_a_forked_child_says_what_to_do(estimator, use):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no pytest in here
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
    assert said.startswith("RuntimeError") and "spawn" in said and "\n" not in said
