"""`jax-depth video`: clips in, films, frames and arrays out, whatever goes wrong."""

import csv
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import close, pictures, read_clip, stand_in, write_clip
from PIL import Image

from jax_depth import outputs
from jax_depth.cli import clip
from jax_depth.cli.main import main


@pytest.fixture
def fake(monkeypatch, tmp_path):
    return stand_in(monkeypatch, tmp_path)


def test_one_clip_needs_no_other_argument(fake, capsys):
    frames = pictures()
    write_clip("a.mp4", frames, crf="1")
    assert main(["video", "a.mp4"]) == 0
    film, times = read_clip("depth_out/a_depth.mp4")
    assert film.shape == (12, 32, 48 + 50 + 48, 3)
    np.testing.assert_allclose(times, np.arange(12) / 10, atol=1e-3)
    # Chroma of two pixels is one, so the coloured half differs at edges.
    close(film[:, :, :48], frames, 6)
    assert np.abs(film[:, :, 52:94].astype(int) - 255).max() < 25
    out, err = capsys.readouterr()
    assert out.startswith("a.mp4: 12 frames ") and "depth_out/a_depth.mp4" in out
    assert err == ""
    assert fake.batches == [2] * 6
    with av.open("depth_out/a_depth.mp4") as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.profile) == (
            "h264",
            "yuv420p",
            "High",
        )


def test_the_range_of_each_frame_is_that_of_the_original(fake):
    frames = pictures(4)
    write_clip("a.mp4", frames, crf="1")
    argv = ["video", "a.mp4", "--range", "frame", "--pred-only", "--grayscale"]
    assert main(argv) == 0
    film, _ = read_clip("depth_out/a_depth.mp4")
    seen, _ = read_clip("a.mp4")
    for picture, frame in zip(film, seen, strict=True):
        values = fake.depth_map(frame[::2, ::2, 0].astype(np.float32), (32, 48))
        close(picture, outputs.colorize(values, "gray"), 3)


def test_one_range_for_the_whole_clip_takes_two_passes(fake):
    frames = pictures(6)
    write_clip("a.mp4", frames, crf="1")
    argv = ["video", "a.mp4", "--range", "clip", "--format", "film,png16,npz"]
    assert main([*argv, "--pred-only", "--grayscale"]) == 0
    assert sum(fake.batches) == 6  # the network ran once a frame
    film, _ = read_clip("depth_out/a_depth.mp4")
    with np.load("depth_out/a_depth.npz") as arrays:
        values = arrays["values"]
        np.testing.assert_array_equal(arrays["scale"], 1)
    assert values.shape == (6, 32, 48)
    # Grey levels are one linear function of the values of all frames.
    inner = (film[..., 0] > 25) & (film[..., 0] < 230)
    slope, shift = np.polyfit(values[inner], film[..., 0][inner], 1)
    assert np.abs(slope * values + shift - film[..., 0])[inner].mean() < 2
    # So are the sixteen bits.
    scales = set()
    for k in range(6):
        path = f"depth_out/a_depth/{k:06}.png"
        with Image.open(path) as image:
            scales.add((image.text["depth-scale"], image.text["depth-offset"]))
        step, offset = map(float, next(iter(scales)))
        raw = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        np.testing.assert_allclose(offset + step * raw, values[k], atol=step / 2 + 1e-5)
    assert len(scales) == 1


def test_streaming_records_what_it_did_to_every_frame(fake):
    frames = pictures(8)
    write_clip("a.mp4", frames, crf="1")
    assert main(["video", "a.mp4", "--format", "npz,png16"]) == 0
    seen, times = read_clip("a.mp4")
    with np.load("depth_out/a_depth.npz") as arrays:
        np.testing.assert_allclose(arrays["seconds"], times, atol=1e-3)
        scale = arrays["scale"][:, None, None]
        model = (arrays["values"] - arrays["shift"][:, None, None]) / scale
        assert str(arrays["kind"]) == "inverse_depth"
        assert not arrays["cut"].any()
        assert arrays["scale"][0] == 1
        # The frames get brighter by 4 levels each, which alignment takes out.
        ground = arrays["values"][:, 20, 40]
        assert np.ptp(ground[:6]) < 4
        for k in range(8):
            raw = fake.depth_map(seen[k, ::2, ::2, 0].astype(np.float32), (32, 48))
            np.testing.assert_allclose(model[k], raw.values, atol=2)
    with open("depth_out/a_depth/frames.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"{k:06}.png" for k in range(8)]
    np.testing.assert_allclose(
        [float(row["seconds"]) for row in rows], times, atol=1e-3
    )


def test_metres_stay_metres(fake):
    fake.config = dataclasses.replace(fake.config, kind="metric_depth")
    write_clip("a.mp4", pictures(6), crf="1")
    assert main(["video", "a.mp4", "--format", "npz"]) == 0
    with np.load("depth_out/a_depth.npz") as arrays:
        np.testing.assert_array_equal(arrays["scale"], 1)
        np.testing.assert_array_equal(arrays["shift"], 0)
        assert str(arrays["unit"]) == "m"
        assert np.ptp(arrays["values"][:, 20, 40]) > 15


def test_frames_that_are_wanted(fake, capsys):
    write_clip("a.mp4", pictures(40), g="10")
    argv = ["video", "a.mp4", "--start", "0:01.5", "--max-frames", "8", "--fps", "5"]
    assert main([*argv, "--format", "npz", "--json"]) == 0
    with np.load("depth_out/a_depth.npz") as arrays:
        np.testing.assert_allclose(arrays["seconds"], np.arange(8) / 5, atol=1e-3)
    clip = json.loads(capsys.readouterr().out)["clips"][0]
    assert (clip["frames"], clip["size"], clip["problems"]) == (8, [48, 32], [])


def test_a_variable_frame_rate_stays(fake):
    times = [0, 40, 240, 260, 700, 1000]
    write_clip("a.mkv", pictures(6), times=times)
    assert main(["video", "a.mkv", "-o", "out.mp4"]) == 0
    _, seconds = read_clip("out.mp4")
    np.testing.assert_allclose(seconds, np.array(times) / 1000, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.gif", "gif"), ("a.mov", "mpeg4")]
)
def test_other_formats_are_read(fake, name, codec):
    write_clip(name, pictures(5), codec=codec)
    assert main(["video", name]) == 0
    assert len(read_clip("depth_out/a_depth.mp4")[0]) == 5


def test_results_that_would_share_a_name_get_longer_ones(fake, capsys):
    os.mkdir("b")
    for name in ("a.mp4", "a.mkv", "b/a.mp4"):
        write_clip(name, pictures(1))
    assert main(["video", "a.mp4", "a.mkv", "b/a.mp4", "--json"]) == 0
    films = [
        clip["files"]["film"] for clip in json.loads(capsys.readouterr().out)["clips"]
    ]
    assert films[1:] == ["depth_out/a_mkv_depth.mp4", "depth_out/b/a_mp4_depth.mp4"]
    assert len(set(films)) == 3 and all(map(os.path.exists, films))


def test_only_files_that_are_there_are_named(fake, capsys, monkeypatch):
    write_clip("a.mp4", pictures(4))
    run = fake.run

    def obstructed(pixels):
        os.makedirs("depth_out/a_depth.mp4", exist_ok=True)
        return run(pixels)

    monkeypatch.setattr(fake, "run", obstructed)
    for formats, files in (
        ("film", {}),
        ("film,npz", {"npz": "depth_out/a_depth.npz"}),
    ):
        shutil.rmtree("depth_out", ignore_errors=True)
        assert main(["video", "a.mp4", "--format", formats, "--json"]) == 1
        out, err = capsys.readouterr()
        (clip,) = json.loads(out)["clips"]
        assert (clip["files"], clip["frames"]) == (files, 4 if files else 0)
        assert err.startswith("jax-depth: 'a.mp4': 'depth_out/a_depth.mp4': ")
        assert os.strerror(errno.EISDIR) in err and err.count("\n") == 1


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.webm"])
def test_other_formats_are_written(fake, name):
    write_clip("a.mp4", pictures(5))
    assert main(["video", "a.mp4", "-o", name]) == 0
    assert len(read_clip(name)[0]) == 5


def test_rotation_is_honoured(fake):
    write_clip("flat.mp4", pictures(3), crf="1")
    data = Path("flat.mp4").read_bytes()
    one, zero, far = b"\0\1\0\0", b"\0\0\0\0", b"\x40\0\0\0"
    straight = one + zero * 3 + one + zero * 3 + far
    # As a phone held upright writes it: 90 degrees clockwise.
    turned = zero + one + zero + b"\xff\xff\0\0" + zero * 4 + far
    at = data.index(straight, data.index(b"tkhd"))
    Path("a.mp4").write_bytes(data[:at] + turned + data[at + 36 :])
    expected, _ = read_clip("a.mp4")  # OpenCV turns it
    assert expected.shape == (3, 48, 32, 3)
    assert main(["video", "a.mp4"]) == 0
    close(read_clip("depth_out/a_depth.mp4")[0][:, :, :32], expected, 3)


def test_odd_sizes_gain_a_row_and_a_column(fake):
    frames = pictures(3, (31, 45))
    os.mkdir("in")
    for k, frame in enumerate(frames):
        cv2.imwrite(f"in/{9 + k}.png", frame[..., ::-1])  # 9, 10, 11
    assert main(["video", "in", "--pred-only", "--grayscale", "--fps", "5"]) == 0
    film, times = read_clip("depth_out/in_depth.mp4")
    assert film.shape == (3, 32, 46, 3)
    np.testing.assert_allclose(times, [0, 0.2, 0.4], atol=1e-3)
    close(film[:, 31], film[:, 30], 2)
    assert film[2, 16, 40].mean() >= film[0, 16, 40].mean() - 3  # in order


def test_one_frame_is_a_film(fake):
    write_clip("a.mp4", pictures(1))
    assert main(["video", "a.mp4"]) == 0
    assert len(read_clip("depth_out/a_depth.mp4")[0]) == 1
    with av.open("depth_out/a_depth.mp4") as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == pytest.approx(0.1)


@pytest.mark.parametrize("start", [None, "0.5"])
def test_audio_is_copied_packet_by_packet(fake, start):
    write_clip("a.mp4", pictures(20), sound="aac")
    argv = ["video", "a.mp4", "--audio", *(["--start", start] if start else [])]
    assert main(argv) == 0
    before, after = sound("a.mp4"), sound("depth_out/a_depth.mp4")
    skipped = float(start or 0)
    kept = [(time - skipped, data) for time, data in before if time >= skipped]
    assert len(kept) > 60
    assert [data for _, data in after] == [data for _, data in kept]
    for (time, _), (expected, _) in zip(after, kept, strict=True):
        assert time == pytest.approx(expected, abs=2e-3)


def sound(path):
    with av.open(path) as container:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]


def test_a_clip_that_breaks_off(fake, capsys):
    write_clip("whole.mp4", pictures(40), container={"movflags": "faststart"}, g="5")
    data = Path("whole.mp4").read_bytes()
    Path("a.mp4").write_bytes(data[: len(data) * 2 // 3])
    assert main(["video", "a.mp4"]) == 1
    film, _ = read_clip("depth_out/a_depth.mp4")
    assert 10 < len(film) < 40
    out, err = capsys.readouterr()
    assert err.startswith("jax-depth: 'a.mp4' breaks off after ")
    assert err.count("\n") == 1
    assert f"{len(film)} frames written" in out


def test_a_damaged_frame(fake, capsys):
    write_clip("a.mp4", pictures(30), g="10")
    with av.open("a.mp4") as container:
        packets = [p for p in container.demux(video=0) if p.size]
        at, size = packets[13].pos, packets[13].size
    data = bytearray(Path("a.mp4").read_bytes())
    data[at : at + size] = bytes(size)
    Path("a.mp4").write_bytes(data)
    assert main(["video", "a.mp4"]) == 1
    assert len(read_clip("depth_out/a_depth.mp4")[0]) == 29
    err = capsys.readouterr().err
    assert err.startswith("jax-depth: 'a.mp4': 1 frame ") and err.count("\n") == 1


def test_a_clip_that_changes_its_size(fake, capsys):
    # Two H.264 streams in a row, as a camera that switches its mode writes them.
    write_clip("one.h264", pictures(4))
    write_clip("two.h264", pictures(4, (48, 48)))
    Path("a.h264").write_bytes(
        Path("one.h264").read_bytes() + Path("two.h264").read_bytes()
    )
    argv = ["video", "a.h264", "--format", "film,png16,npz", "--pred-only"]
    assert main([*argv, "--range", "frame"]) == 1
    film, _ = read_clip("depth_out/a_depth.mp4")
    assert film.shape == (8, 32, 48, 3)
    # 48x48 into 48x32: 32x32 between two black bars.
    assert film[6, :, :7].max() < 40
    assert film[6, :, 10:38].mean() > 60
    assert outputs.load("depth_out/a_depth/000006.png").shape == (48, 48)
    with np.load("depth_out/a_depth.npz") as arrays:
        assert arrays["values"].shape == (8, 32, 48)
    err = capsys.readouterr().err
    assert err.startswith("jax-depth: 'a.h264' changes size")
    assert err.count("\n") == 1


def test_what_cannot_be_read_is_one_sentence(fake, capsys):
    write_clip("whole.mp4", pictures(20))
    data = Path("whole.mp4").read_bytes()
    Path("cut.mp4").write_bytes(data[: len(data) // 2])  # its index was at the end
    Path("text.mp4").write_text("no video at all")
    Path("empty.mp4").touch()
    os.mkdir("none")
    write_clip("good.mp4", pictures(2))
    words = ["cut.mp4", "text.mp4", "empty.mp4", "none", "gone  by.mp4", "7"]
    assert main(["video", *words, "good.mp4"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert "'gone  by.mp4'" in lines[4]
    for line, word in zip(lines, words, strict=False):
        assert line.startswith("jax-depth: "), line
        assert word in line
    assert os.listdir("depth_out") == ["good_depth.mp4"]


def test_an_error_without_a_file_names_none():
    error = OSError(errno.EIO, "Input/output error")
    assert clip._sentence("a.mp4", error) == "'a.mp4': Input/output error"


def test_a_start_after_the_end(fake, capsys):
    write_clip("a.mp4", pictures(20))
    assert main(["video", "a.mp4", "--start", "9"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("jax-depth: 'a.mp4' ") and err.count("\n") == 1
    assert "9 s" in err and "2 s" in err
    assert os.listdir("depth_out") == []


@pytest.mark.parametrize("way", ["stream", "clip"])
def test_ctrl_c_leaves_a_film_that_plays(fake, capsys, monkeypatch, way):
    write_clip("a.mp4", pictures(40))
    run = fake.run

    def interrupted(pixels):
        if len(fake.batches) == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return run(pixels)

    monkeypatch.setattr(fake, "run", interrupted)
    assert main(["video", "a.mp4", "--range", way]) == 130
    film, _ = read_clip("depth_out/a_depth.mp4")
    assert 2 <= len(film) < 40
    assert "; interrupted" in capsys.readouterr().out
    assert os.listdir("depth_out") == ["a_depth.mp4"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give an INPUT"),
        (["a.mp4", "--start", "1:2:3:4"], "is not a time"),
        (["a.mp4", "--fps", "0"], "is not a rate"),
        (["a.mp4", "--fps", "0.0001"], "from 0.001 to 1000"),
        (["a.mp4", "--max-frames", "none"], "not a whole number above 0"),
        (["a.mp4", "--format", "avi"], "known: film, png16, npz"),
        (["a.mp4", "a.mp4"], "given twice"),
        (["a.mp4", "./a.mp4"], "given twice"),
        (["a.mp4", "-o", "in.mp4"], "'in.mp4' is already a folder"),
        (["a.mp4", "-o", "out.avi"], ".mp4, .mov, .mkv, .webm"),
        (["a.mp4", "-o", "a.mp4/x"], "'a.mp4/x' cannot be"),
        (["a.mp4", "-o", "/proc/o.mp4"], "'/proc' cannot be"),
        (["a.mp4", "-o", "out.mp4", "--format", "npz"], "is one file"),
        (["a.mp4", "-o", "a.mp4"], "would overwrite an input"),
        (["a.mp4", "--format", "npz", "--audio"], "needs a film"),
        (["a.mp4", "--quality", "99"], "must lie in 0 to 51"),
        (["a.mp4", "--range", "photo"], "use stream, clip or frame"),
        (["a.mp4", "--range", "5:1"], "write LOW:HIGH"),
        (["a.mp4", "--range", "no"], "stream, clip, frame, calibrated"),
        (["0", "--range", "clip"], "a camera has no end"),
        (["a.mp4", "-o", "o.webm", "--codec", "h264"], ".webm holds vp9 or av1"),
        (["a.mp4", "-o", "o.mov", "--codec", "av1"], ".mov holds h264 or hevc"),
    ],
)
def test_wrong_usage_is_one_sentence(fake, capsys, argv, message):
    write_clip("a.mp4", pictures(2))
    os.mkdir("in.mp4")
    assert main(["video", *argv]) == 2
    assert message in capsys.readouterr().err
    assert fake.batches == []


def test_without_pyav(fake, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["video", "a.mp4"]) == 2
    assert "pip install 'jax_depth[video]'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stream", "clip"])
def test_a_pipe_and_the_bundled_model(tmp_path, way):
    write_clip(tmp_path / "a.mkv", pictures(3))
    argv = ["video", "-", "--range", way, "--size", "64", "--grayscale", "--pred-only"]
    with open(tmp_path / "a.mkv", "rb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "jax_depth", *argv, "-o", "out.mp4"],
            stdin=pipe,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    film, _ = read_clip(tmp_path / "out.mp4")
    assert film.shape == (3, 32, 48, 3)
    assert film.std() > 20
