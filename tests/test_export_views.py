"""A program of several views, run by jax alone, is the network at any size."""

import dataclasses
import json

import depth_anything_3_oracle as oracle
import jax
import numpy as np
import pytest
from jax import export
from safetensors import safe_open
from test_depth_anything_3 import living_params

import jax_depth
from jax_depth.cli.main import main
from jax_depth.export.stablehlo import check_views

pytestmark = pytest.mark.usefixtures("as_installed", "cheap_programs")
VIEWS = 3
# One block of single views and one that looks at all of them.
_ENCODER = dataclasses.replace(
    oracle.ANY_VIEW.encoder, depth=2, start=1, taps=(0, 0, 1, 1)
)
CONFIG = dataclasses.replace(oracle.ANY_VIEW, encoder=_ENCODER)


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [(28, 42), pytest.param((56, 28), marks=pytest.mark.long)]
)
def test_a_program_of_three_views_is_apply(size, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    params = living_params(CONFIG)
    jax_depth.save_params("model", params, CONFIG)
    words = ["export", "model", "-o", "views.stablehlo", "--views", str(VIEWS)]
    assert main(words) == 0, capsys.readouterr().err
    with safe_open("views.stablehlo", "numpy") as opened:
        weights = {key: opened.get_tensor(key) for key in opened.keys()}
        texts = opened.metadata()
    program = export.deserialize(bytearray(weights.pop("program")))
    assert json.loads(texts["model"])["views"] == VIEWS
    assert "float32 (1, 3, height, width, 3)" in texts["preprocessing"]

    rng = np.random.default_rng(1)
    apply = jax.jit(jax_depth.apply, static_argnames="config")
    pixels = rng.normal(size=(1, VIEWS, *size, 3)).astype(np.float32)
    found = program.call(weights, pixels)
    wanted = apply(params, pixels, config=CONFIG)
    names = [field.name for field in dataclasses.fields(wanted)]
    names.remove("sky")
    assert sorted(found) == sorted(names)
    for name in names:
        expected = np.asarray(getattr(wanted, name))
        # Its resize matrices are float32, see `models.symbolic`.
        bound = 5e-5 * np.abs(expected).max()
        np.testing.assert_allclose(found[name], expected, 0, bound, err_msg=name)
    with pytest.raises(ValueError, match="shape"):
        program.call(weights, pixels[:, :2])


def test_what_has_no_views_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words, sentence in (
        (["tiny", "-o", "x.stablehlo", "--views", "2"], "needs an any-view model"),
        (["tiny", "-o", "x.onnx", "--views", "2"], "option of .stablehlo files"),
    ):
        assert main(["export", *words]) == 2
        assert sentence in capsys.readouterr().err
    nested = jax_depth.MODELS["depth-anything-3-nested-giant-large"].config
    with pytest.raises(ValueError, match="by a second network"):
        check_views(nested, 2)
    with pytest.raises(ValueError, match="views is 0"):
        check_views(CONFIG, 0)
    assert not list(tmp_path.iterdir())
