"""`jax-depth bench`: every way is timed, the best is kept, mistakes are sentences."""

import json

import pytest

from jax_depth.cli.main import main
from jax_depth.inference import fastest
from jax_depth.inference.fastest import Timing


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
    kept = fastest.recommended("tiny")
    assert kept == Timing(**document["recommended"])
    assert main(words.split()[:-1]) == 0
    assert f"--batch-size {kept.batch_size}" in capsys.readouterr().out
    assert fastest.recommended("depth-anything-small") is None


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
    def timed(model, size, engine, dtype, *rest):
        if engine == "openvino":
            raise RuntimeError("unsupported\nby this chip")
        return Timing(engine, dtype, 1, 1.0, 2)

    ways = [("xla", "float32", 1), ("openvino", "float32", 1)]
    monkeypatch.setattr(fastest, "ways", lambda batches: ways)
    monkeypatch.setattr(fastest, "_time", timed)
    good, bad = fastest.measure("tiny")
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
    (cache / "fastest.json").write_text("{")
    assert fastest.recommended("tiny") is None
    fastest.remember("tiny", Timing("xla", "float32", 1, 1.0, 2))
    assert fastest.recommended("tiny").seconds == 1.0
