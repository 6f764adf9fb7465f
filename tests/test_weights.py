"""Loading by name and from files, with random weights in the published layouts."""

import dataclasses
import http.server
import socket
import threading
import time
from pathlib import Path

import huggingface_hub.constants
import jax
import numpy as np
import pytest
from safetensors.numpy import save, save_file
from small_models import RELATIVE, assert_same, random_params

import jax_depth
import jax_depth_convert
from jax_depth import catalog, checkpoint, weights
from jax_depth.checkpoint import flatten

PARAMS = random_params(RELATIVE)
STATE = jax_depth_convert.to_torch(PARAMS, RELATIVE, layout="transformers")
ENTRY = catalog.Entry(
    RELATIVE, 1, "CC-BY-NC-4.0", repository="someone/small-hf", original="x/y.pth"
)


@pytest.fixture(autouse=True)
def _own_caches(tmp_path, monkeypatch):
    """Use empty caches and a catalogue that holds one small model."""
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path / "native"))
    hub = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(weights, "MODELS", {**catalog.MODELS, RELATIVE.name: ENTRY})


def _fill_hub_cache(tmp_path):
    folder = tmp_path / "hub" / "models--someone--small-hf"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(STATE, folder / "snapshots" / "abc" / "model.safetensors")
    return folder


def test_a_published_file_is_converted_once_and_cached(tmp_path, capsys):
    folder = _fill_hub_cache(tmp_path)
    assert weights.is_cached(RELATIVE.name)
    params, config = jax_depth.load_params(RELATIVE.name)
    assert config == RELATIVE
    assert_same(flatten(params), flatten(PARAMS))
    assert "CC-BY-NC-4.0" in capsys.readouterr().err

    # From now on neither the published file nor the licence is needed again.
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    again, _ = jax_depth.load_params(RELATIVE.name)
    assert_same(flatten(again), flatten(PARAMS))
    assert capsys.readouterr().err == ""


def test_a_full_cache_disk_costs_a_warning_only(tmp_path, monkeypatch):
    _fill_hub_cache(tmp_path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.warns(UserWarning, match="could not be cached"):
        params, _ = jax_depth.load_params(RELATIVE.name)
    assert_same(flatten(params), flatten(PARAMS))


class _Hub(http.server.BaseHTTPRequestHandler):
    """As much of a hub as a download asks for."""

    body = save(STATE)

    def do_HEAD(self, send_body=False):
        found = self.path in ("/", "/someone/small-hf/resolve/main/model.safetensors")
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if send_body:
            self.wfile.write(self.body)

    def do_GET(self):
        self.do_HEAD(send_body=True)

    def log_message(self, *args):
        pass


def _online(monkeypatch, address):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    url = f"http://{address[0]}:{address[1]}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_a_name_is_downloaded(monkeypatch, capsys):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        _online(monkeypatch, server.server_address)
        assert not weights.is_cached(RELATIVE.name)
        params, config = jax_depth.load_params(RELATIVE.name)
    finally:
        server.shutdown()
        server.server_close()
    assert config == RELATIVE
    assert_same(flatten(params), flatten(PARAMS))


def test_an_unreachable_hub_is_reported_within_seconds(monkeypatch):
    with socket.socket() as silent:  # accepts and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        _online(monkeypatch, silent.getsockname())
        start = time.monotonic()
        with pytest.raises(ConnectionError) as error:
            jax_depth.load_params(RELATIVE.name)
        assert time.monotonic() - start < 5
    _assert_helpful(str(error.value))


def test_forbidden_network_is_reported():
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE") as error:
        jax_depth.load_params(RELATIVE.name)
    _assert_helpful(str(error.value))


def _assert_helpful(message):
    assert "someone/small-hf" in message and "'tiny'" in message
    assert "\n" not in message


def test_what_was_never_published_says_so():
    with pytest.raises(ValueError, match="never released"):
        jax_depth.load_params("depth-anything-v2-giant")


@pytest.mark.parametrize(
    "name, word",
    [("depth-anything-v2-smal", "depth-anything-v2-small"), ("xyzzy", "models")],
)
def test_an_unknown_name_gets_a_hint(name, word):
    with pytest.raises(ValueError, match=word):
        jax_depth.load_params(name)


def test_only_a_folder_with_weights_hides_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/photo.jpg").touch()
    assert jax_depth.load_params("tiny")[1].name == "tiny"
    (tmp_path / "tiny/photo.jpg").unlink()
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").touch()
    assert jax_depth.load_params("tiny")[1].name == "tiny"
    (tmp_path / "tiny").unlink()
    checkpoint.save(tmp_path / "tiny", PARAMS, RELATIVE)
    assert jax_depth.load_params("tiny")[1] == RELATIVE


def test_a_missing_file_is_not_taken_for_a_name():
    for name in ("folder/gone.pth", "gone.ckpt"):
        with pytest.raises(FileNotFoundError, match=f"{name}: no such file"):
            jax_depth.load_params(name)


def test_native_directory_in_half_precision_computes_in_float32(tmp_path):
    checkpoint.save(tmp_path / "model", PARAMS, RELATIVE, "float16")
    params, config = jax_depth.load_params(tmp_path / "model", dtype="bfloat16")
    assert config.dtype == "bfloat16"
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}


def test_a_bare_file_needs_the_name_of_its_model(tmp_path):
    file = tmp_path / "mine.safetensors"
    save_file(jax_depth_convert.to_torch(PARAMS, RELATIVE, layout="original"), file)
    params, config = jax_depth.load_params(file, model=RELATIVE)
    assert config == RELATIVE
    assert_same(flatten(params), flatten(PARAMS))
    with pytest.raises(ValueError, match="ModelConfig"):
        jax_depth.load_params(file)
    other = dataclasses.replace(RELATIVE, name="other")
    assert jax_depth.load_params(file, model=other)[1].name == "other"


def test_a_model_cannot_be_given_for_a_name():
    with pytest.raises(ValueError, match="leave it out"):
        jax_depth.load_params(RELATIVE.name, model=RELATIVE.name)


def test_cache_directory_follows_the_environment(monkeypatch):
    monkeypatch.delenv("JAX_DEPTH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert weights.cache_directory() == Path("/somewhere/jax_depth")


def test_random_weights_are_those_of_init_and_always_the_same():
    params, config = weights.read_params("random:tiny", dtype="bfloat16")
    assert config == dataclasses.replace(
        catalog.MODELS["tiny"].config, dtype="bfloat16"
    )
    drawn = jax_depth.init(catalog.MODELS["tiny"].config, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, params, drawn)


@pytest.mark.parametrize(
    "source, model, sentence",
    [
        ("random:tinny", None, "'tinny'; see `jax-depth models`"),
        ("random:tiny", "tiny", "leave `model` out"),
    ],
)
def test_random_weights_of_no_model_are_a_sentence(source, model, sentence):
    with pytest.raises(ValueError, match=sentence):
        weights.read_params(source, model)
