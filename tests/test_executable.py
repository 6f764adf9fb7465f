"""Executables: the same numbers, nothing compiled, and a sentence where they misfit."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import jax
import jax.monitoring
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from PIL import Image
from small_models import ENCODER, RELATIVE, random_params

from jax_depth import checkpoint
from jax_depth.cli.main import main
from jax_depth.inference.engines import programs as executable
from jax_depth.inference.engines.programs import ExecutableError, ExecutableFolder
from jax_depth.inference.engines.xla import compile_forward
from jax_depth.inference.estimator import Estimator
from jax_depth.models.initialize import init

CONFIG = dataclasses.replace(RELATIVE, image_size=28)
DEVICE = jax.devices()[0]
PARAMS = jax.device_put(init(CONFIG, jax.random.key(0)), DEVICE)
PIXELS = jax.device_put(
    np.random.default_rng(0).standard_normal((1, 28, 42, 3), np.float32), DEVICE
)


@pytest.fixture(scope="module")
def program():
    # Whatever another file of tests left jax's own cache at.
    with executable.without_jax_cache():
        return compile_forward(CONFIG, PARAMS, PIXELS)


@pytest.fixture(scope="module")
def file(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("programs") / executable.file_name(
        CONFIG, PIXELS.shape
    )
    executable.write(path, program, CONFIG, PIXELS)
    return path


def test_a_file_gives_the_bits_of_the_program(program, file):
    loaded = executable.read(file, CONFIG, PARAMS, PIXELS)
    assert np.array_equal(loaded(PARAMS, PIXELS), program(PARAMS, PIXELS))


def _with_header(file, path, **changes):
    line, _, payload = file.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps(json.loads(line) | changes).encode() + b"\n" + payload)
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"jaxlib": "0.1"}, "made for jaxlib '0.1', not '"),
        ({"network": "0"}, "made for another version of the network"),
        ({"size": "1x14x14x3"}, "made for size '1x14x14x3', not '1x28x42x3'"),
        ({"cpu": "avx1024"}, "made for a CPU with avx1024, which this one lacks"),
        ({"sha256": "0"}, "damaged or truncated"),
    ],
)
def test_a_file_that_does_not_serve_says_why(file, tmp_path, changes, reason):
    path = _with_header(file, tmp_path / "a.executable", **changes)
    with pytest.raises(ExecutableError) as caught:
        executable.read(path, CONFIG, PARAMS, PIXELS)
    message = str(caught.value)
    assert str(path) in message and reason in message
    assert "jax-depth export --executable" in message


def test_a_payload_that_does_not_load_is_made_again(program, file, tmp_path):
    """Its checksum fits, and what reads it fails: with whatever it meets."""
    payload = b"\x80\x04not machine code"
    header = json.loads(file.read_bytes().partition(b"\n")[0])
    header["sha256"] = hashlib.sha256(payload).hexdigest()
    path = tmp_path / file.name
    path.write_bytes(json.dumps(header).encode() + b"\n" + payload)
    with pytest.raises(ExecutableError, match="cannot be loaded") as caught:
        executable.read(path, CONFIG, PARAMS, PIXELS)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    ExecutableFolder(tmp_path, lambda *_: program)(CONFIG, PARAMS, PIXELS)
    assert executable.read(path, CONFIG, PARAMS, PIXELS)


def test_threads_leave_the_cache_of_jax_as_it_was():
    first, second = executable.without_jax_cache(), executable.without_jax_cache()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not jax.config.jax_enable_compilation_cache  # the second still compiles
    second.__exit__(None, None, None)
    assert jax.config.jax_enable_compilation_cache


DEEP = b"[" * 60_000


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 99, b"{}\nmachine code", DEEP])
def test_any_other_file_is_refused(tmp_path, content):
    path = tmp_path / "a.executable"
    path.write_bytes(content)
    with pytest.raises(ExecutableError, match="not an executable of jax_depth"):
        executable.read(path, CONFIG, PARAMS, PIXELS)


def test_another_model_or_flag_is_refused(file, monkeypatch):
    metric = dataclasses.replace(CONFIG, kind="metric_depth", max_depth=20.0)
    with pytest.raises(ExecutableError, match="another model"):
        executable.read(file, metric, PARAMS, PIXELS)
    flags = os.environ.get("XLA_FLAGS", "")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    executable.environment.cache_clear()
    try:
        with pytest.raises(ExecutableError, match=f"made for flags '{flags}'"):
            executable.read(file, CONFIG, PARAMS, PIXELS)
    finally:
        executable.environment.cache_clear()


def test_a_named_folder_is_strict_and_a_cache_mends_itself(program, file, tmp_path):
    compiled = []

    def compile(*args):
        compiled.append(args)
        return program

    named = ExecutableFolder(tmp_path, compile, strict=True)
    with pytest.warns(UserWarning, match=f"holds no {file.name}"):
        named(CONFIG, PARAMS, PIXELS)
    assert len(compiled) == 1 and not list(tmp_path.iterdir())

    cache = ExecutableFolder(tmp_path / "new", compile, limit=1)
    cache(CONFIG, PARAMS, PIXELS)
    cache(CONFIG, PARAMS, PIXELS)
    assert len(compiled) == 2
    path = tmp_path / "new" / file.name
    path.write_bytes(b"broken")
    with pytest.raises(ExecutableError):
        dataclasses.replace(cache, strict=True)(CONFIG, PARAMS, PIXELS)
    cache(CONFIG, PARAMS, PIXELS)
    assert len(compiled) == 3 and path.stat().st_size > 10_000
    # Beyond the limit the one unused longest goes.
    old = _with_header(file, path.with_name("old.executable"))
    os.utime(old, (0, 0))
    path.unlink()
    cache(CONFIG, PARAMS, PIXELS)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_batch_that_devices_share_is_compiled_as_ever(tmp_path):
    estimator = Estimator(PARAMS, CONFIG, devices=jax.devices()[:2], batch_size=2)
    estimator.compile = ExecutableFolder(tmp_path, estimator.compile)
    estimator.run(np.zeros((2, 14, 14, 3), np.float32))
    assert not list(tmp_path.iterdir())


# Runs the command line and says how often jax traced, and XLA compiled or loaded.
_COUNT = """
import collections, json, sys
import jax
import jax.monitoring
from jax_depth.cli.main import main
events = collections.Counter()
count = lambda name, *_, **__: events.update([name.rsplit("/")[-1]])
jax.monitoring.register_event_listener(count)
jax.monitoring.register_event_duration_secs_listener(count)
code = main(sys.argv[1:])
flax = {"flax": int("flax" in sys.modules)}
print(json.dumps(flax | events), file=open("events.json", "w"))
sys.exit(code)
"""


def _count(folder, *argv, **environment):
    command = [sys.executable, "-c", _COUNT, *argv]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "events.json").read_text()), done


@pytest.fixture
def photo(tmp_path):
    checkpoint.save(tmp_path / "model", PARAMS, CONFIG)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path


@pytest.mark.slow
def test_the_second_process_compiles_nothing(photo):
    words = ("predict", "photo.png", "--model", "model", "--format", "npy")
    exported, done = _count(
        photo, "export", "--executable", "photo.png", "-o", "programs",
        "--model", "model", "--photo-size", "28x28", "--photo-size", "40x30",
        JAX_DEPTH_CACHE="none",
    )  # fmt: skip
    assert exported["backend_compile_duration"] == 2
    names = sorted(line.split(":")[0] for line in done.stdout.splitlines())
    assert names == [
        f"programs/small-relative_float32_1x{size}.executable"
        for size in ("28x28", "28x42")
    ]

    by_file, _ = _count(
        photo, *words, "-o", "a", "--executables", "programs", JAX_DEPTH_CACHE="none"
    )
    assert by_file == {"flax": 0}

    # Without a folder the command keeps its programs itself.
    first, _ = _count(photo, *words, "-o", "b", JAX_DEPTH_CACHE="cache")
    second, _ = _count(photo, *words, "-o", "c", JAX_DEPTH_CACHE="cache")
    assert first["backend_compile_duration"] == 1
    assert second == {"flax": 0}
    depths = [np.load(photo / folder / "photo_depth.npy") for folder in "abc"]
    assert np.array_equal(depths[0], depths[1])
    assert np.array_equal(depths[0], depths[2])

    # The cache of jax alone: it traces, and loads what XLA compiled.
    own = {"JAX_COMPILATION_CACHE_DIR": str(photo / "jax")}
    own |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    cold, _ = _count(photo, *words, "-o", "d", **own)
    warm, _ = _count(photo, *words, "-o", "e", **own)
    assert (cold["cache_misses"], cold.get("cache_hits")) == (1, None)
    assert (warm.get("cache_misses"), warm["cache_hits"]) == (None, 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "-o", "x"], "--executable"),
        (["export", "--executable"], "-o"),
        (["export", "--executable", "-o", "x", "--photo-size", "9"], "WIDTHxHEIGHT"),
        (
            ["export", "--executable", "-o", "x", "--photo-size", "4000x3"],
            "too elongated",
        ),
        (["export", "--executable", "-o", "x", "--model", "bare"], "predicts no depth"),
        (["predict", "a.png", "--executables", "gone"], "'gone' is not a folder"),
    ],
)
def test_wrong_usage_is_one_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.setattr("jax_depth.inference.estimator.keep_freed_memory", bool)
    Image.new("RGB", (20, 20)).save("a.png")
    if "bare" in words:
        checkpoint.save(tmp_path / "bare", random_params(ENCODER), ENCODER)
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_photos_that_cannot_be_read_are_named(photo, monkeypatch, capsys):
    monkeypatch.chdir(photo)
    (photo / "broken.jpg").write_bytes(b"not a photo")
    words = ["export", "--executable", "broken.jpg", "-o", "out", "--model", "model"]
    assert main(words) == 1
    assert "broken.jpg" in capsys.readouterr().err
    assert not list((photo / "out").iterdir())


def test_what_is_written_never_comes_from_the_cache_of_jax(tmp_path):
    """XLA on CPU writes such a program without its functions, and it fails later."""
    hits = []

    def listen(event, **_):
        if event.endswith("/cache_hits"):
            hits.append(event)

    names = {
        "jax_compilation_cache_dir": str(tmp_path / "jax"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    before = {name: getattr(jax.config, name) for name in names}
    jax.monitoring.register_event_listener(listen)
    try:
        for name, value in names.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        compile_forward(CONFIG, PARAMS, PIXELS)
        compile_forward(CONFIG, PARAMS, PIXELS)
        assert len(hits) == 1  # so there is one to be had
        folder = ExecutableFolder(tmp_path / "ours", compile_forward)
        folder(CONFIG, PARAMS, PIXELS)
        assert len(hits) == 1
        assert jax.config.jax_enable_compilation_cache
        # The cache of jax goes on, and what it gives is not written.
        taken = compile_forward(CONFIG, PARAMS, PIXELS)
        assert len(hits) == 2
        path = tmp_path / "taken.executable"
        with pytest.raises(ExecutableError, match="without_jax_cache") as error:
            executable.write(path, taken, CONFIG, PIXELS)
        assert str(path) in str(error.value) and not path.exists()
    finally:
        jax.monitoring.unregister_event_listener(listen)
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


class Failing:
    """A program that was loaded, and fails when it runs."""

    def __call__(self, params, pixels):
        raise jax.errors.JaxRuntimeError("NOT_FOUND: Function fusion.7 not found")


def test_a_stored_program_that_fails_when_it_runs(program, tmp_path, monkeypatch):
    folder = ExecutableFolder(tmp_path, compile_forward)
    folder(CONFIG, PARAMS, PIXELS)
    (path,) = tmp_path.iterdir()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    first = path.stat().st_ino
    monkeypatch.setattr(executable, "read", lambda *_: Failing())
    result = folder(CONFIG, PARAMS, PIXELS)(PARAMS, PIXELS)
    np.testing.assert_array_equal(result, program(PARAMS, PIXELS))
    assert path.stat().st_ino != first  # made again
    strict = dataclasses.replace(folder, strict=True)
    with pytest.raises(ExecutableError, match="NOT_FOUND") as error:
        strict(CONFIG, PARAMS, PIXELS)(PARAMS, PIXELS)
    assert str(path) in str(error.value) and path.exists()
