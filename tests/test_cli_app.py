"""`jax-depth app`: mistakes, the warning, what its options reach."""

import contextlib
import socket
import sys
import types

import pytest
import small_models

pytest.importorskip("gradio", reason="the web app needs jax_depth[app]")

from jax_depth import checkpoint
from jax_depth.app import http_server, models, server
from jax_depth.cli.main import main


@pytest.fixture
def served(monkeypatch):
    """Answer nothing, and return what would have been served."""
    calls = []

    @contextlib.contextmanager
    def application(offered, **options):
        calls.append((offered, types.SimpleNamespace(**options)))
        service = types.SimpleNamespace(batcher=None)
        yield types.SimpleNamespace(asgi=None, service=service)

    answering = types.SimpleNamespace(run=lambda sockets: None)
    monkeypatch.setattr(server, "application", application)
    monkeypatch.setattr(http_server, "http_server", lambda *_: answering)
    monkeypatch.setattr(models, "warm_up", lambda *_: contextlib.nullcontext())
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    return calls


@pytest.fixture
def model(tmp_path):
    config = small_models.RELATIVE
    checkpoint.save(tmp_path / "m", small_models.random_params(config), config)
    return str(tmp_path / "m")


def test_loopback_is_the_default(served, model, capsys):
    assert main(["app", "--port", "0", "--model", model]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("jax-depth app: http://127.0.0.1:") and not err
    [(offered, options)] = served
    assert list(offered) == ["small-relative"] and not options.any_host
    assert options.batch_size == 4


def test_other_hosts_are_warned_about(served, model, capsys):
    words = ["app", "--port", "0", "--model", model, "--host", "0.0.0.0"]
    assert main(words) == 0
    assert "warning: --host 0.0.0.0 lets everyone" in capsys.readouterr().err
    assert served[0][1].any_host


def test_names_and_a_path_of_a_proxy_are_options(served, model):
    words = ["app", "--port", "0", "--model", model, "--host", "0.0.0.0"]
    words += ["--allow-host", "a.org", "--allow-host", "*.b.org"]
    assert main([*words, "--root-path", "depth/"]) == 0
    [(_, options)] = served
    assert options.hosts == ["a.org", "*.b.org"] and options.root_path == "/depth"
    assert not options.any_host


def test_limits_are_options(served, model):
    words = ["--max-upload", "3", "--max-pixels", "1000", "--max-size", "98"]
    words += ["--max-waiting", "5", "--max-seconds", "7", "--max-batch", "2"]
    words += ["--batch-size", "2", "--max-frames", "9", "--size", "70"]
    assert main(["app", "--port", "0", "--model", model, *words]) == 0
    [(offered, options)] = served
    limits = options.limits
    assert (limits.upload_bytes, limits.pixels, limits.size) == (3 << 20, 1000, 98)
    assert (limits.waiting, limits.seconds, limits.batch_photos) == (5, 7, 2)
    assert (limits.frames, options.batch_size) == (9, 2)
    assert offered["small-relative"].size == 70


@pytest.mark.parametrize("package", ["gradio", "prometheus_client"])
def test_what_is_missing_is_named(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["app"]) == 2
    error = capsys.readouterr().err
    assert f"needs {package}: pip install 'jax_depth[app]'" in error


def test_a_taken_port_is_a_sentence(served, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["app", "--port", port]) == 2
    err = capsys.readouterr().err
    assert f"port {port}: " in err and "--port" in err and not served


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--port", "70000"], "'70000' is not a port, 0 to 65535"),
        (["--allow-host", "http://a.org"], "give depth.example.org, without scheme"),
        (["--root-path", "/a b"], "'/a b' is not a path"),
        (["--grace", "-1"], "'-1' is not 0 or more seconds"),
        (["--max-pixels", "0"], "'0' is not a whole number above 0"),
        (["--host", "host.invalid"], "choose another with --host"),
    ],
)
def test_wrong_words_are_a_sentence(words, sentence, served, capsys):
    assert main(["app", *words]) == 2
    assert sentence in capsys.readouterr().err and not served


def test_unknown_models_and_twins_are_sentences(served, model, capsys):
    assert main(["app", "--port", "0", "--model", "tinny"]) == 2
    assert "did you mean tiny" in capsys.readouterr().err
    assert main(["app", "--port", "0", "--model", model, "--model", model]) == 2
    assert "two of the models are called" in capsys.readouterr().err
