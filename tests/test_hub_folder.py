"""A folder for the Hugging Face hub: what it holds, and that it loads again."""

import dataclasses
import re

import numpy as np
import pytest
from huggingface_hub import ModelCard
from small_models import ENCODER, RELATIVE, assert_same, random_params

import jax_depth
from jax_depth import checkpoint
from jax_depth.checkpoint import flatten
from jax_depth.cli.main import main
from jax_depth_convert import write_hub_folder
from jax_depth_convert.hub_folder import model_card


def test_the_command_writes_what_loads_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    params = random_params(RELATIVE)
    checkpoint.save("mine", params, RELATIVE)
    assert main(["convert", "mine", "--to-hub-folder", "hub"]) == 0
    assert capsys.readouterr().out.startswith("hub: small-relative, native layout, ")
    names = sorted(path.name for path in (tmp_path / "hub").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    loaded, config = jax_depth.load_params("hub")
    assert config == RELATIVE
    assert_same(flatten(loaded), flatten(params))
    # Again over itself, and smaller.
    argv = ["convert", "mine", "--to-hub-folder", "hub", "--dtype", "float16"]
    assert main(argv) == 0
    assert "stored as float16" in (tmp_path / "hub" / "README.md").read_text()
    (tmp_path / "hub" / "notes.txt").touch()
    assert main(argv) == 1
    assert "holds other files ('notes.txt')" in capsys.readouterr().err


def test_a_name_will_do_and_the_bundled_model_predicts_the_same(tmp_path, capsys):
    folder = tmp_path / "hub"
    assert main(["convert", "tiny", "--to-hub-folder", str(folder)]) == 0
    assert checkpoint.load(folder)[1] == jax_depth.MODELS["tiny"].config
    loaded, bundled = jax_depth.load_params(folder)[0], jax_depth.load_params("tiny")[0]
    assert_same(flatten(loaded), flatten(bundled))
    assert main(["convert", "tiny", "--to", "x", "--to-hub-folder", "y"]) == 2
    words = ["convert", "tiny", "--layout", "transformers", "--to-hub-folder", "y"]
    assert main(words) == 2
    assert "writes the native layout, not transformers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "licence", "base"),
    [
        ("tiny", "apache-2.0", None),
        ("depth-anything-v2-large", "cc-by-nc-4.0", "Depth-Anything-V2-Large-hf"),
        ("depth-anything-v2-metric-indoor-small", "other", "Indoor-Small-hf"),
        ("prompt-depth-anything-small", "apache-2.0", "prompt-depth-anything-vits-hf"),
    ],
)
def test_the_card_of_a_known_model_says_where_it_is_from(name, licence, base):
    """huggingface_hub parses the metadata, as the hub does."""
    config = jax_depth.MODELS[name].config
    params = {"encoder": {"kernel": np.zeros((2, 3), np.float32)}}
    card = ModelCard(model_card(params, config))
    assert card.data.license == licence
    assert (card.data.pipeline_tag, card.data.library_name) == (
        "depth-estimation",
        "jax-depth",
    )
    if base:
        assert card.data.base_model.endswith(base)
    assert "ine-tuned" not in card.text
    reach = [f"{config.max_depth:g}"] if config.max_depth else []
    assert re.findall(r"up to (\S+) m", card.text) == reach


def test_the_card_of_an_own_model_claims_nothing(tmp_path):
    borrowed = dataclasses.replace(RELATIVE, name="depth-anything-v2-small")
    card = ModelCard(model_card(random_params(borrowed), borrowed))
    assert card.data.license == "unknown" and card.data.base_model is None
    # A network of the catalogue, trained further: what it began with, and no licence.
    name = "depth-anything-v2-metric-indoor-small"
    far = dataclasses.replace(jax_depth.MODELS[name].config, max_depth=10.0)
    own = dataclasses.replace(far, name="mine")
    for config, base in ((far, None), (own, name)):
        card = ModelCard(model_card(random_params(borrowed), config, base=base))
        assert card.data.license == "unknown" and "up to 10 m" in card.text
        assert card.data.base_model == jax_depth.MODELS[name].repository
        assert "ine-tuned from" in card.text
    write_hub_folder(random_params(ENCODER), ENCODER, tmp_path / "x")
    card = ModelCard.load(tmp_path / "x" / "README.md")
    assert card.data.pipeline_tag == "image-feature-extraction"
    assert "jax_depth.load_params(folder)" in card.text
