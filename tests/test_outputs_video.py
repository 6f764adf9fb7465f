"""Pictures into films: sizes, clocks, colours, sound that does not fit."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import FakeModel, pictures, read_clip, write_clip

from jax_depth.cli import video
from jax_depth.cli.main import main
from jax_depth.outputs.legend import Words, draw_legend
from jax_depth.video.reading import open_source
from jax_depth.video.writing import VideoWriter, codec_for, even, fit_into


def test_odd_sizes_are_padded_by_what_is_at_the_edge():
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    padded = even(picture)
    assert padded.shape == (6, 8, 3)
    np.testing.assert_array_equal(padded[:5, :7], picture)
    np.testing.assert_array_equal(padded[5, :7], picture[4])
    np.testing.assert_array_equal(padded[:5, 7], picture[:, 6])
    assert even(padded) is padded


def test_other_sizes_are_fitted_on_black():
    picture = np.full((20, 20, 3), 200, np.uint8)
    fitted = fit_into(picture, (10, 30))
    assert fitted.shape == (10, 30, 3)
    np.testing.assert_array_equal(fitted[:, 10:20], 200)
    assert fitted[:, :10].max() == fitted[:, 20:].max() == 0
    tall = fit_into(picture, (30, 10))
    np.testing.assert_array_equal(tall[10:20], 200)
    assert fit_into(picture, (20, 20)) is picture


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16)])
def test_the_smallest_films(tmp_path, size):
    with VideoWriter(tmp_path / "a.mp4", 30) as film:
        film.write(np.full((*size, 3), 128, np.uint8), 0.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.height, frame.width) == tuple(n + n % 2 for n in size)


def test_colours_are_bt709_and_say_so(tmp_path):
    """Pure colours come back as they were, by the matrix that the file names."""
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]])
    picture = np.repeat(colors.astype(np.uint8)[None], 32, 0).repeat(32, 1)
    with VideoWriter(tmp_path / "a.mp4", 30, quality=1) as film:
        film.write(picture, 0.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == 1 and frame.color_range == 1
        planes = frame.to_ndarray(format="yuv420p")
    # ITU-R BT.709-6, item 3 and 4: luma of the primaries in 8 bits.
    luma = 16 + 219 * np.array([0.2126, 0.7152, 0.0722, 1.0])
    np.testing.assert_allclose(planes[16, 16:128:32], luma, atol=1.5)
    (read,) = open_source(tmp_path / "a.mp4")
    inside = np.s_[16, 16:128:32]
    np.testing.assert_allclose(read.pixels[inside], picture[inside], atol=4)


def test_times_that_meet_stay_apart(tmp_path):
    frames = pictures(4)
    with VideoWriter(tmp_path / "a.mp4", Fraction(30000, 1001)) as film:
        for frame, time in zip(frames, (0.0, 0.0, 0.5, 0.5), strict=True):
            film.write(frame, time)
    back, times = read_clip(tmp_path / "a.mp4")
    assert len(back) == 4
    np.testing.assert_allclose(times, [0, 0, 0.5, 0.5], atol=2e-3)


def test_a_film_without_pictures_is_none(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 30):
        pass
    assert list(tmp_path.iterdir()) == []


def test_sound_that_does_not_fit_is_a_sentence(tmp_path):
    write_clip(tmp_path / "a.mp4", pictures(4), sound="aac")
    with av.open(str(tmp_path / "a.mp4")) as container:
        film = VideoWriter(tmp_path / "b.webm", 10, audio=container.streams.audio[0])
        with pytest.raises(ValueError, match=r"a \.webm file cannot hold .* \(aac\)"):
            film.write(pictures(1)[0], 0.0)
        film.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_film_that_cannot_be_written(tmp_path):
    film = VideoWriter(tmp_path / "gone" / "a.mp4", 30)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        film.write(pictures(1)[0], 0.0)
    film.close()


def test_an_error_leaves_what_was_written(tmp_path):
    frames = pictures(10)
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", 10) as film:
        for k, frame in enumerate(frames):
            film.write(frame, k / 10)
        raise RuntimeError
    assert len(read_clip(tmp_path / "a.mp4")[0]) == 10


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("a.avi", None, "videos are written as"),
        ("a.mp4", "theora", "known: h264, hevc, av1, vp9"),
        ("a.webm", "hevc", r"\.webm holds vp9 or av1, not hevc"),
        ("a.mov", "vp9", r"\.mov holds h264 or hevc, not vp9"),
    ],
)
def test_what_does_not_go_together(tmp_path, name, codec, message):
    with pytest.raises(ValueError, match=message):
        codec_for(tmp_path / name, codec)


@pytest.mark.parametrize("sound", [False, True])
def test_a_codec_that_takes_no_tiny_films_is_a_sentence(tmp_path, sound):
    audio = None
    if sound:  # which is not to blame
        write_clip(tmp_path / "a.mp4", pictures(1), sound="aac")
        audio = av.open(str(tmp_path / "a.mp4")).streams.audio[0]
    film = VideoWriter(tmp_path / "b.mp4", 10, codec="hevc", audio=audio)
    with pytest.raises(OSError, match=r"^hevc cannot encode a film of 3x2 pixels; "):
        film.write(pictures(1, (2, 3))[0], 0.0)
    assert not film.close()
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize("codec", ["hevc", "av1", "vp9"])
def test_other_codecs(tmp_path, capfd, codec):
    frames = pictures(4, (64, 96))
    with VideoWriter(tmp_path / "a.mp4", 10, codec=codec) as film:
        for k, frame in enumerate(frames):
            film.write(frame, k / 10)
    assert capfd.readouterr().err == ""
    with av.open(str(tmp_path / "a.mp4")) as container:
        name = container.streams.video[0].codec_context.codec.canonical_name
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert name == codec
    assert np.abs(np.int16(decoded) - frames).mean() < 12


def test_a_legend_stands_below_every_frame(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "load_estimator", lambda args: FakeModel())
    monkeypatch.chdir(tmp_path)
    write_clip("a.mp4", pictures(2), crf="1")
    argv = ["video", "a.mp4", "--legend", "--quality", "0", "--quiet"]
    assert main([*argv, "--pred-only", "--range", "0:9", "-o", "b.mp4"]) == 0
    film, _ = read_clip("b.mp4")
    strip = draw_legend(48, Words("near: 9", "far: 0", ""))
    assert film.shape == (2, 32 + len(strip), 48, 3)
    assert np.abs(film[:, 32:].astype(float) - strip).mean() < 8
    assert main([*argv, "-o", "c.mp4"]) == 0
    film, _ = read_clip("c.mp4")
    assert film.shape == (2, 32 + len(strip), 48 + 50 + 48, 3)
    assert film[:, 34:, :96].min() > 240  # nothing below the frame beside it
