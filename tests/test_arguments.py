"""Arguments that are something else altogether: one sentence from every public name."""

import jax
import numpy as np
import pytest
from small_models import RELATIVE, random_params

import jax_depth

PARAMS = random_params(RELATIVE)
CLIPS = jax_depth.MODELS["video-depth-anything-small"].config
PIXELS = np.zeros((1, 28, 28, 3), np.float32)
PHOTOS = np.zeros((1, 28, 28, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: jax_depth.load(None), TypeError, "None name path"),
        (lambda: jax_depth.load_params(3), TypeError, "3 name path"),
        (lambda: jax_depth.Estimator(None, RELATIVE), TypeError, "params NoneType"),
        (lambda: jax_depth.Estimator(PARAMS, "tiny"), TypeError, "config str MODELS"),
        (lambda: jax_depth.preprocess(PHOTOS[0], None), TypeError, "config NoneType"),
        (lambda: jax_depth.predict(PARAMS, [1], RELATIVE), TypeError, "photos list"),
        (lambda: jax_depth.predict(3, PHOTOS, RELATIVE), TypeError, "params int"),
        (lambda: jax_depth.predict(PARAMS, PHOTOS, {}), TypeError, "config dict"),
        (lambda: jax_depth.apply(PARAMS, None, RELATIVE), TypeError, "pixels NoneType"),
        (lambda: jax_depth.apply(PARAMS, PIXELS, "x"), TypeError, "config str"),
        (lambda: jax_depth.forward([], PIXELS, RELATIVE), TypeError, "params list"),
        (
            lambda: jax_depth.forward(PARAMS, PHOTOS, RELATIVE),
            ValueError,
            "uint8 preprocess predict",
        ),
        (
            lambda: jax_depth.forward({}, PIXELS, RELATIVE),
            ValueError,
            f"{RELATIVE.name} load_params",
        ),
        (
            lambda: jax_depth.features({"encoder": {}}, PIXELS, RELATIVE),
            ValueError,
            f"{RELATIVE.name} load_params",
        ),
        (
            lambda: jax_depth.forward(
                PARAMS | {"head": jax.tree.map(lambda x: x[..., :1], PARAMS["head"])},
                PIXELS,
                RELATIVE,
            ),
            ValueError,
            f"{RELATIVE.name} load_params",
        ),
        (lambda: jax_depth.init("tiny", 0), TypeError, "config str"),
        (lambda: jax_depth.init(RELATIVE, 0), TypeError, "key int jax.random.key"),
        (lambda: jax_depth.stream_init({}, None, (28, 28)), TypeError, "config"),
        (lambda: jax_depth.stream_init({}, CLIPS, 28), ValueError, "size 28"),
        (lambda: jax_depth.stream_init({}, CLIPS, (28, 28), 0), ValueError, "batch 0"),
        (
            lambda: jax_depth.stream_step({}, None, PIXELS, CLIPS),
            TypeError,
            "state NoneType stream_init",
        ),
        (lambda: jax_depth.save_params("x", None, RELATIVE), TypeError, "params"),
        (lambda: jax_depth.save_params("x", PARAMS, "tiny"), TypeError, "config str"),
    ],
)
def test_a_wrong_argument_is_one_sentence(as_installed, call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert len(message) < 400 and "\n" not in message
    for word in words.split():
        assert word in message, message


@pytest.mark.parametrize("key", [jax.random.key(0), jax.random.PRNGKey(0)])
def test_keys_of_both_kinds_serve(key):
    shapes = jax.eval_shape(lambda key: jax_depth.init(RELATIVE, key), key)
    assert jax.tree.structure(shapes) == jax.tree.structure(PARAMS)
