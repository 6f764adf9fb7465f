"""`jax-depth bench`: every way is timed, the best is kept, mistakes are sentences."""

import json

import pytest

from jax_depth import load
from jax_depth.catalog import MODELS
from jax_depth.cli.main import main
from jax_depth.formats.cache import MEASURED
from jax_depth.inference import fastest, recommended
from jax_depth.inference.recommended import Timing

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

TINY = MODELS["tiny"].config


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path))
    return tmp_path


def test_ways_are_timed_and_the_best_is_kept(cache, monkeypatch, capsys):
    monkeypatch.setattr(
        fastest, "ways", lambda batches: [("xla", "float32", n) for n in (1, 2)]
    )
    words = "bench --model tiny --size 32x48 --seconds 1 --json"
    assert main(words.split()) == 0
    document = json.loads(capsys.readouterr().out)
    assert [t["batch_size"] for t in document["timings"]] == [1, 2]
    assert all(t["seconds"] > 0 and t["runs"] >= 2 for t in document["timings"])
    kept = recommended.recommended(TINY, "float32")
    assert kept == Timing(**document["recommended"])
    assert main(words.split()[:-1]) == 0
    kept = recommended.recommended(TINY, "float32")  # it measured anew
    assert f"--batch-size {kept.batch_size}" in capsys.readouterr().out
    other = MODELS["depth-anything-small"].config
    assert recommended.recommended(other, "float32") is None


def test_what_is_as_good_and_plainer_is_preferred():
    timings = [
        Timing("xla", "float32", 1, 1.02, 3),
        Timing("xla", "float32", 4, 1.0, 3),
        Timing("openvino", "bfloat16", 1, 0.5, 3),
        Timing("openvino", "bfloat16", 4, problem="no memory"),
    ]
    assert fastest.best(timings, "float32").batch_size == 1
    assert fastest.best(timings).dtype == "bfloat16"
    with pytest.raises(ValueError, match="no memory"):
        fastest.best(timings[3:])


def test_a_way_that_fails_is_named_and_the_others_go_on(cache, monkeypatch):
    def timed(params, config, size, engine, dtype, *rest):
        if engine == "openvino":
            raise RuntimeError("unsupported\nby this chip")
        return Timing(engine, dtype, 1, 1.0, 2)

    ways = [("xla", "float32", 1), ("openvino", "float32", 1)]
    monkeypatch.setattr(fastest, "ways", lambda batches: ways)
    monkeypatch.setattr(fastest, "_time", timed)
    good, bad = fastest.measure({}, TINY)
    assert good.seconds == 1 and bad.problem == "unsupported"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--model bert", "bert"),
        ("--size 500 --model tiny", "500"),
        ("--size axb", "'a'"),
        ("--size 1x2x3", "1x2x3"),
    ],
)
def test_mistakes_are_sentences(cache, words, says, capsys):
    assert main(["bench", *words.split(), "--seconds", "1"]) == 2
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error


def test_a_damaged_or_foreign_store_is_nothing_known(cache):
    found = Timing("xla", "float32", 1, 1.0, 2)
    for text in ("{", "[]", '{"another machine": {"fastest": {}}}'):
        (cache / MEASURED).write_text(text)
        assert recommended.recommended(TINY, "float32") is None
    recommended.remember(TINY, [found])
    assert recommended.recommended(TINY, "float32") == found


def test_auto_takes_what_was_measured_here_and_says_so(cache, capsys):
    assert load("tiny", size=32, engine="auto").engine == "xla"
    assert "takes xla for tiny in float32: nothing was meas" in capsys.readouterr().err
    ways = [
        Timing("openvino", "float32", 3, 0.0123, 2),
        Timing("xla", "bfloat16", 2, 0.01, 2),
    ]
    recommended.remember(TINY, ways)
    estimator = load("tiny", size=32, engine="auto")
    assert (estimator.engine, estimator.batch_size) == ("openvino", 3)
    said = capsys.readouterr().err
    assert "takes openvino" in said and "12.3 ms a picture" in said
    half = load("tiny", "bfloat16", size=32, engine="auto")
    assert (half.engine, half.batch_size) == ("xla", 2)
    assert load("tiny", batch_size=5, engine="auto").batch_size == 5


def test_auto_does_without_an_engine_that_is_gone(cache, monkeypatch, capsys):
    import jax

    recommended.remember(TINY, [Timing("openvino", "float32", 3, 1.0, 2)])
    given = load("tiny", devices=jax.local_devices()[:1], engine="auto")
    assert given.engine == "xla" and "takes no devices" in capsys.readouterr().err
    monkeypatch.setattr(recommended, "installed", lambda name: False)
    assert load("tiny", engine="auto").engine == "xla"
    assert "no longer installed" in capsys.readouterr().err


def test_the_command_line_takes_auto(cache, tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("a.png")
    recommended.remember(TINY, [Timing("openvino", "float32", 1, 1.0, 2)])
    words = "predict a.png --size 28 --engine auto --format npy -o out"
    assert main(words.split()) == 0
    assert "engine 'auto' takes openvino" in capsys.readouterr().err
