"""`jax-depth predict`: results, every kind of bad input, stopping and going on."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_estimator import FakeEstimator, listing, photo, put_in_place

from jax_depth import outputs
from jax_depth.cli import pipeline, predict
from jax_depth.cli.main import main
from jax_depth.inference import draft
from jax_depth.inference.stream import host_threads


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Put a fake model in place of every other, and work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return put_in_place(monkeypatch, predict)


def test_one_photo_needs_no_other_argument(fake, capsys):
    pixels = photo("a.png")
    assert main(["predict", "a.png"]) == 0
    assert listing() == ["a_depth.png", "a_side_by_side.png"]
    depth = outputs.load("depth_out/a_depth.png")
    np.testing.assert_allclose(depth.values, pixels[..., 0], atol=255 / 131070 + 1e-5)
    both = cv2.imread("depth_out/a_side_by_side.png")[..., ::-1]
    np.testing.assert_array_equal(both[:, :17], pixels)
    picture = outputs.colorize(depth)
    np.testing.assert_array_equal(both[:, 67:], picture)
    out, err = capsys.readouterr()
    assert out.startswith("1 input: 1 written to depth_out; ")
    assert err == ""


def test_flags_of_the_original(fake):
    pixels = photo("in/a.png")
    argv = "--img-path in --outdir vis --input-size 308 --encoder vitb"
    assert main(["predict", *argv.split(), "--pred-only", "--grayscale"]) == 0
    assert (fake.loads[0].size, fake.loads[0].encoder) == (308, "vitb")
    assert listing("vis") == ["a_color.png", "a_depth.png"]
    red = pixels[..., 0].astype(np.float32)
    gray = ((red - red.min()) / (red.max() - red.min()) * 255.0).astype(np.uint8)
    picture = cv2.imread("vis/a_color.png", cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(picture, np.repeat(gray[..., None], 3, axis=-1))


def test_a_legend_stands_below_when_asked(fake):
    photo("a.png")
    argv = ["predict", "a.png", "--format", "color,png8", "--quiet"]
    assert main(argv) == 0
    assert main([*argv, "--legend", "-o", "with"]) == 0
    for name in ("a_color.png", "a_gray.png"):
        plain, legend = (cv2.imread(f"{at}/{name}") for at in ("depth_out", "with"))
        assert len(legend) > len(plain) + 20
        np.testing.assert_array_equal(legend[: len(plain)], plain)


def test_every_format_under_its_own_name(fake):
    pytest.importorskip("OpenEXR")
    photo("a.png")
    fake.config.kind = "metric_depth"
    formats = [name for name in outputs.FORMATS if name not in ("png16", "png-mm")]
    argv = ["predict", "a.png", "--format", ",".join(["png16", *formats])]
    assert main([*argv, "--colormap", "turbo"]) == 0
    assert listing() == sorted(
        [
            *(f"a_depth.{s}" for s in ("png", "npy", "npz", "pfm", "exr", "tiff")),
            *("a_gray.png", "a_color.png", "a_side_by_side.png"),
        ]
    )
    for suffix in ("npz", "exr", "tiff"):
        assert outputs.load(f"depth_out/a_depth.{suffix}").unit == "m"


def test_folders_keep_their_structure_and_skip_what_is_no_photo(fake):
    for name in ("in/b.png", "in/a.jpg", "in/deep/er/a.png", "in/.hidden/c.png"):
        photo(name)
    photo("in/.d.png")
    Path("in/notes.md").write_text("no photo")
    assert main(["predict", "in", "-o", "in/out", "--format", "npy"]) == 0
    expected = ["a_depth.npy", "b_depth.npy", "deep/er/a_depth.npy"]
    assert listing("in/out") == expected
    # Results inside the folder are not taken for photos.
    assert main(["predict", "in", "-o", "in/out", "--format", "color"]) == 0
    assert main(["predict", "in", "-o", "in/out", "--format", "color"]) == 0
    assert len(listing("in/out")) == 6


def test_globs_lists_and_intermixed_arguments(fake):
    for name in ("a.png", "x/b.png", "x/y/c.png", "d.png", "e.png"):
        photo(name)
    Path("list.txt").write_text("d.png\n\nx\n", encoding="utf-8-sig")
    words = ["predict", "a.png", "--format", "npy", "x/**/*.png", "list.txt", "e.png"]
    assert main(words) == 0
    # x/b.png and x/y/c.png are meant twice and computed once.
    names = ["a_depth.npy", "b_depth.npy", "c_depth.npy", "d_depth.npy", "e_depth.npy"]
    assert listing() == names
    assert sum(fake.batches) == 5


def test_one_stem_never_overwrites_another(fake):
    stems = ["a/p.png", "b/p.png", "b/p.jpg", "p_png.png", "q.png", "Q.jpg"]
    pictures = {name: photo(name, seed) for seed, name in enumerate(stems)}
    assert main(["predict", *stems, "--format", "npy"]) == 0
    first = listing()
    assert len({name.casefold() for name in first}) == len(stems)
    # Each result is one of the photos, none is there twice.
    maxima = [np.load(f"depth_out/{name}").tobytes() for name in first]
    assert len(set(maxima)) == len(stems)
    exact = np.load(f"depth_out/{next(n for n in first if 'a/' in n)}")
    np.testing.assert_array_equal(exact, pictures["a/p.png"][..., 0])
    # Neither order nor what is there changes a name.
    assert (
        main(["predict", *reversed(stems), "--format", "npy", "--skip-existing"]) == 0
    )
    assert listing() == first
    assert sum(fake.batches) == len(stems)


def test_skip_existing_goes_on_after_a_stop(fake, capsys):
    for k in range(7):
        photo(f"in/{k}.png", k)
    argv = ["predict", "in", "--format", "npy,color"]
    fake.refused = {17: KeyboardInterrupt()}
    assert main(argv) == 130
    out, err = capsys.readouterr()
    assert err.startswith("jax-depth: interrupted; ") and err.count("\n") == 1
    assert "--skip-existing" in err
    assert "7 not done" in out
    fake.refused = {}
    assert main([*argv[:-1], "npy"]) == 0
    os.unlink("depth_out/3_depth.npy")
    assert main([*argv[:-1], "npy", "--skip-existing"]) == 0
    assert "1 written to depth_out, 6 there already" in capsys.readouterr().out
    # A photo with only some of its results is done again.
    assert main([*argv, "--skip-existing"]) == 0
    assert len(listing()) == 14
    assert main([*argv, "--skip-existing"]) == 0
    assert len(fake.loads) == 4  # nothing to do: no model is loaded


def piped(monkeypatch, capfdbinary, picture: bytes, *words):
    """Run `predict` with a picture on standard input; return code, stdout, stderr."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(picture)))
    code = main(["predict", *words])
    return code, *capfdbinary.readouterr()


def test_a_photo_comes_on_stdin_and_goes_on_stdout(fake, monkeypatch, capfdbinary):
    pixels = photo("a.png")
    file = Path("a.png").read_bytes()
    run = lambda *words: piped(monkeypatch, capfdbinary, file, *words)
    code, out, err = run("-", "-o", "-", "--format", "npy")
    assert (code, err) == (0, b"")
    np.testing.assert_array_equal(np.load(io.BytesIO(out)), pixels[..., 0])
    code, out, err = run("a.png", "-o", "-")
    Path("out.png").write_bytes(out)
    assert (code, err, outputs.load("out.png").kind) == (0, b"", "inverse_depth")
    assert run("-", "a.png", "--format", "npy")[0] == 0
    assert listing() == ["a_depth.npy", "stdin_depth.npy"]
    for file, words in ((b"", b"'stdin' is empty"), (b"no", b"'stdin'")):
        code, out, err = piped(monkeypatch, capfdbinary, file, "-", "-o", "-")
        assert (code, out) == (1, b"") and words in err


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["-", "--format", "npy,exr"], "one --format, not npy,exr"),
        (["-", "--json"], "leave --json out"),
        (["-", "a.png"], "a single photo, not of 2"),
    ],
)
def test_what_stdout_cannot_hold(fake, words, sentence, capsys):
    assert main(["predict", *words, "-o", "-"]) == 2
    assert sentence in capsys.readouterr().err and not fake.loads


def test_an_address_is_not_read(fake, capsys):
    address = "https://example.com/cat.jpg"
    assert main(["predict", address]) == 1
    err = capsys.readouterr().err
    assert f"'{address}' is an address" in err and f"curl -LO '{address}'" in err


def test_nobody_reading_the_summary_is_no_failure(tmp_path):
    photo(tmp_path / "a.png")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "jax_depth", "predict", "a.png", "--format", "npy"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_that_a_library_swallows_still_stops(fake, capsys):
    for k in range(9):
        photo(f"in/{k}.png", k)
    pressed = []

    class Swallowing(FakeEstimator):
        def run(self, pixels):
            try:
                if not pressed:
                    pressed.append(True)
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(5)
            except KeyboardInterrupt:
                pass
            return super().run(pixels)

    fake.__class__ = Swallowing
    before = signal.getsignal(signal.SIGINT)
    assert main(["predict", "in", "--format", "npy", "--json"]) == 130
    out, err = capsys.readouterr()
    assert err.startswith("jax-depth: interrupted; ")
    assert pressed
    assert 0 < len(listing()) < 9
    written = [Path(name).stem for name in json.loads(out)["written"]]
    assert sorted(f"{stem}_depth.npy" for stem in written) == listing()
    assert signal.getsignal(signal.SIGINT) is before


def bad_inputs():
    """Write one of each, and return what its sentence must say."""
    os.makedirs("in", exist_ok=True)
    photo("whole.png")
    data = Path("whole.png").read_bytes()
    files = {
        "in/broken.png": data[: len(data) // 2],
        "in/empty.jpg": b"",
        "in/garbage.png": os.urandom(200),
        "in/text.jpg": b"this is not a photo\n" * 20,
    }
    for name, content in files.items():
        Path(name).write_bytes(content)
    return list(files)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_bad_photos_are_named_and_the_rest_is_written(fake, capsys, batch_size):
    bad = bad_inputs()
    for k in range(5):
        photo(f"in/{'aegpz'[k]}.png", k)
    fake.batch_size = batch_size
    argv = ["predict", "in", "gone.png", "no*.png", "--format", "npy"]
    assert main(argv) == 1
    assert listing() == [f"{k}_depth.npy" for k in "aegpz"]
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert len(lines) == len(bad) + 2
    assert all(line.startswith("jax-depth: ") for line in lines)
    for name in [*bad, "gone.png", "no*.png"]:
        assert sum(f"'{name}'" in line for line in lines) == 1, name
    assert "11 inputs: 5 written to depth_out, 6 failed" in out


def test_photos_of_extreme_shapes_do_not_touch_the_others(fake, capsys):
    photo("in/a.png")
    photo("in/dot.png", size=(1, 1))
    photo("in/strip.png", size=(20, 30000))
    photo("in/z.png")
    fake.refused = {30000: ValueError("image is 30000x20, too long and thin")}
    assert main(["predict", "in"]) == 1
    assert listing() == [
        f"{name}_{what}.png"
        for name in ("a", "dot", "z")
        for what in ("depth", "side_by_side")
    ]
    err = capsys.readouterr().err
    assert err.startswith("jax-depth: 'in/strip.png': ") and err.count("\n") == 1
    assert "30000x20" in err
    assert outputs.load("depth_out/dot_depth.png").shape == (1, 1)


def test_running_out_of_memory_is_a_sentence(fake, capsys):
    import jax

    photo("a.png", size=(5, 9))
    photo("b.png", size=(5, 8))
    photo("c.png", size=(5, 7))
    fake.refused = {
        9: jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"),
        8: MemoryError(),
    }
    assert main(["predict", "a.png", "b.png", "c.png", "--format", "npy"]) == 1
    assert listing() == ["c_depth.npy"]
    err = capsys.readouterr().err.splitlines()
    for line, name in zip(err, "ab", strict=True):
        assert line.startswith(f"jax-depth: '{name}.png': not enough memory; try")


def test_folders_and_lists_without_photos(fake, capsys):
    os.makedirs("none/deeper")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    Path("blank.txt").write_text("\n  \n")
    assert main(["predict", "none", "binary.txt", "blank.txt", ""]) == 1
    err = capsys.readouterr().err.splitlines()
    assert "the folder 'none' holds no photos" in err[0]
    assert "'binary.txt' is not a text file of paths" in err[1]
    assert "'blank.txt' lists no photo" in err[2]
    assert "an empty path was given" in err[3]
    assert not os.path.exists("depth_out")
    assert fake.loads == []


def test_memory_in_flight_is_bounded_and_order_kept(fake, monkeypatch):
    live, most, lock = set(), [0], threading.Lock()
    count, order = 60, []

    def read(path, **_):
        with lock:
            live.add(str(path))
            most[0] = max(most[0], len(live))
        return np.full((2, 2, 3), 1, np.uint8)

    def write(job, pixels, depth):
        with lock:
            live.discard(str(job.photo))
            order.append(str(job.photo))

    monkeypatch.setattr(draft, "read_image", read)
    jobs = [pipeline.Job(Path(f"{k:03}"), {}) for k in range(count)]
    outcomes = list(pipeline.process(jobs, fake, write))
    names = [f"{k:03}" for k in range(count)]
    assert order == names
    assert [str(job.photo) for job, _ in outcomes] == names
    # Prepared ahead, waiting and computing, and written behind.
    threads = host_threads()
    assert most[0] <= threads + (1 + 6 + 2) * fake.batch_size


def test_batches_are_full_even_when_photos_fail(fake):
    for k in range(9):
        photo(f"in/{k}.png", k)
    for name in ("0a", "3a", "7a"):
        Path(f"in/{name}.png").write_bytes(b"broken")
    assert main(["predict", "in", "--format", "npy"]) == 1
    assert fake.batches == [3, 3, 3]


def test_names_with_spaces_umlauts_and_dots(fake):
    for name in ("in/mein Föto.v2.png", "in/-dash.png", "in/日本.png"):
        photo(name)
    assert main(["predict", "in", "--format", "npy"]) == 0
    names = ["mein Föto.v2_depth.npy", "-dash_depth.npy", "日本_depth.npy"]
    assert listing() == sorted(names)


def test_json_lists_every_input(fake, capsys):
    photo("a.png")
    photo("b.png")
    main(["predict", "b.png", "--quiet", "--format", "npy"])
    assert capsys.readouterr() == ("", "")
    argv = ["predict", "a.png", "b.png", "gone.png", "--json", "--skip-existing"]
    assert main([*argv, "--format", "npy"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["written"] == ["a.png"]
    assert document["existing"] == ["b.png"]
    assert [problem["name"] for problem in document["failed"]] == ["gone.png"]


def test_names_are_quoted_as_they_are(fake, capsys):
    name = "two  spaces\nand lines.png"
    Path(name).write_text("no picture")
    assert main(["predict", name]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.count("two  spaces") == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give at least one PATH"),
        (["a.png", "--format", "jpeg"], "'jpeg' is unknown; known: png16"),
        (["a.png", "--batch-size", "0"], "not a whole number above 0"),
        (["a.png", "--size", "big"], "not a whole number above 0"),
        (["a.png", "--encoder", "vits", "--model", "tiny"], "not allowed with"),
        (["a.png", "--grayscale", "--colormap", "turbo"], "not allowed with"),
        (["a.png", "--format", "png16,png-mm"], "share a file name"),
        (["a.png", "--format", "png-mm"], "png-mm needs a metric model"),
        ([".", "-o", "."], "also searched for photos"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(fake, capsys, argv, message):
    photo("a.png")
    assert main(["predict", *argv]) == 2
    assert message in capsys.readouterr().err
    assert not os.path.exists("depth_out") or listing() == []


def test_exr_without_its_package_is_said_before_anything_is_done(
    fake, capsys, monkeypatch
):
    photo("a.png")
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    assert main(["predict", "a.png", "--format", "exr"]) == 2
    assert "pip install 'jax_depth[exr]'" in capsys.readouterr().err
    assert fake.loads == []
