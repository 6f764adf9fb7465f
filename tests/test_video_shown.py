"""Frames are those a player shows: turned, mirrored and in their own shape."""

import itertools
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from jax_depth.formats.image import read_image  # noqa: E402
from jax_depth.video import hdr  # noqa: E402
from jax_depth.video.frames import Selection  # noqa: E402
from jax_depth.video.reading import open_source  # noqa: E402

COLOURS = np.array([[230, 30, 30], [30, 230, 30], [30, 30, 230], [230, 230, 230]])
QUARTERS = np.kron(COLOURS.reshape(2, 2, 3), np.ones((32, 48, 1))).astype(np.uint8)
MATRICES = [
    (a * (1 - swap), b * swap, a * swap, b * (1 - swap))
    for swap, a, b in itertools.product((0, 1), (1, -1), (1, -1))
]


def film(
    path,
    pictures,
    aspect=None,
    transfer=None,
    matrix=None,
    tag=None,
    deep=False,
    interlaced=False,
):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = form = "yuv420p10le" if deep else "yuv420p"
        if interlaced:
            stream.options = {"x264-params": "tff=1"}
        if tag:
            stream.codec_context.colorspace = tag
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if transfer:
            stream.codec_context.color_trc = transfer
            stream.codec_context.color_primaries = tag or 2
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=form, dst_colorspace=matrix)
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def quarter_colours(pixels):
    h, w = pixels.shape[:2]
    places = itertools.product((h // 4, 3 * h // 4), (w // 4, 3 * w // 4))
    return [
        int(np.abs(COLOURS - pixels[y, x].astype(int)).sum(1).argmin())
        for y, x in places
    ]


@pytest.mark.parametrize("matrix", MATRICES)
def test_display_matrix(tmp_path, matrix):
    path = tmp_path / "clip.mp4"
    film(path, [QUARTERS] * 2)
    data = bytearray(path.read_bytes())
    at, one = data.index(b"tkhd") + 44, 1 << 16
    a, b, c, d = (one * value for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    a, b, c, d = matrix
    expected = {}
    for k, (y, x) in enumerate(itertools.product((-1, 1), repeat=2)):
        expected[b * x + d * y, a * x + c * y] = k
    frame = next(iter(open_source(path)))
    assert quarter_colours(frame.pixels) == [expected[k] for k in sorted(expected)]
    assert frame.pixels.shape[:2] == ((64, 96) if a else (96, 64))


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [
        ((64, 45), (64, 137)),
        ((1, 2), (128, 96)),
        ((1, 1), (64, 96)),
        ((1, 4000), (64, 96)),
        ((4000, 1), (64, 96)),
    ],
)
def test_pixels_that_are_not_square(tmp_path, aspect, shape):
    path = tmp_path / "disc.mp4"
    film(path, [QUARTERS] * 2, aspect=Fraction(*aspect))
    frame = next(iter(open_source(path)))
    assert frame.pixels.shape[:2] == shape
    assert quarter_colours(frame.pixels) == [0, 1, 2, 3]


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "10 bits"])
@pytest.mark.parametrize(
    ("height", "matrix", "tag"),
    [(720, 1, None), (64, 5, None), (64, 1, 1), (720, 5, 5)],
)
def test_colours_of_standard_and_high_definition(tmp_path, height, matrix, tag, deep):
    """BT.709 (1) and BT.601 (5): where a film does not say, its size does."""
    path, colour = tmp_path / "film.mp4", (200, 40, 90)
    picture = np.full((height, height * 2, 3), colour, np.uint8)
    film(path, [picture], matrix=matrix, tag=tag, deep=deep)
    frame = next(iter(open_source(path)))
    assert np.abs(frame.pixels.astype(int) - colour).max() <= 3


def in_pq(pixels):
    """Return sRGB in BT.2020 and PQ, white at 203 cd/m2 (ITU-R BT.2408)."""
    srgb = pixels / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_2020 = [[0.627, 0.329, 0.043], [0.069, 0.920, 0.011], [0.016, 0.088, 0.896]]
    y = np.clip(0.0203 * light @ np.transpose(to_2020), 0, 1) ** 0.1593017578125
    coded = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    return np.rint(255 * coded).astype(np.uint8)


@pytest.mark.slow
def test_hdr_is_tone_mapped(tmp_path):
    path = tmp_path / "phone.mp4"
    film(path, [in_pq(QUARTERS)], transfer=16, tag=9, matrix=9, deep=True)
    (frame,) = open_source(path)
    assert quarter_colours(frame.pixels) == [0, 1, 2, 3]
    # As stored they are grey: the channels of the coded red are 57 levels apart.
    red = frame.pixels[16, 24].astype(int)
    assert red[0] - max(red[1:]) > 100


def test_hdr_that_ffmpeg_cannot_map_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(hdr, "_SCALE", "out_transfer=nothing")
    path = tmp_path / "phone.mp4"
    film(path, [QUARTERS] * 2, transfer=18)
    with pytest.warns(UserWarning, match=r"phone\.mp4.*HLG.*SDR"):
        assert len(list(open_source(path))) == 2


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_animated_pictures(tmp_path, suffix):
    path = tmp_path / f"move.{suffix}"
    frames = [Image.fromarray(np.roll(QUARTERS, 48 * k, 1)) for k in range(4)]
    options = {"lossless": True} if suffix == "webp" else {"quality": 95}
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=80, **options
    )
    source = open_source(path)
    found = list(source)
    assert [frame.time for frame in found] == pytest.approx([0, 0.08, 0.16, 0.24])
    assert [quarter_colours(f.pixels)[0] for f in found] == [0, 1, 0, 1]
    assert source.expected == 4 and not source.problems and source.rate == 12.5
    later = list(open_source(path, Selection(start=0.13, count=1)))
    assert [frame.time for frame in later] == pytest.approx([0.03])
    still = tmp_path / f"still.{suffix}"
    frames[0].save(still)
    if suffix == "webp":
        with pytest.raises(ValueError, match=r"still\.webp.*single picture.*predict"):
            open_source(still)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        cut = open_source(path)
    except OSError as error:
        assert path.name in str(error)
    else:
        assert len(list(cut)) < 4 and path.name in cut.problems[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", "hello\nworld\n" * 50),
        ("drawn.ans", "\x1b[31mhello" * 50),
        ("list.mp4", "ffconcat version 1.0\nfile other.mp4\n"),
        ("live.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nother.mp4\n"),
        ("call.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 50123 RTP/AVP 96\n"),
        ("drawing.svg", "<svg/>"),
        ("zeros.mp4", "\0" * 5000),
    ],
)
def test_what_is_no_clip(tmp_path, name, text):
    film(tmp_path / "other.mp4", [QUARTERS] * 2)
    (tmp_path / name).write_text(text)
    with pytest.raises((OSError, ValueError), match=rf"{name}' (cannot|holds video)"):
        open_source(tmp_path / name)


@pytest.mark.parametrize("with_film", [False, True])
def test_a_cover_is_no_clip(tmp_path, with_film):
    path = tmp_path / "record.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        streams = [(cover, QUARTERS[:32, :32] // 2)]
        if with_film:
            other = container.add_stream("libx264", rate=25)
            other.width, other.height, other.pix_fmt = 96, 64, "yuv420p"
            streams.append((other, QUARTERS))
        for stream, picture in streams:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
            container.mux(stream.encode(None))
    if with_film:
        assert next(iter(open_source(path))).pixels.shape == QUARTERS.shape
    else:
        with pytest.raises(ValueError, match="only a cover picture"):
            open_source(path)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_jpeg_of_a_clip_is_turned_by_its_exif(tmp_path, turn):
    # Its frame has side data of a kind that PyAV 18 has no name for.
    path, image = tmp_path / "still.jpg", Image.fromarray(QUARTERS)
    exif = image.getexif()
    exif[274] = turn
    image.save(path, exif=exif, quality=98)
    colours = quarter_colours(read_image(path))
    assert quarter_colours(next(iter(open_source(path))).pixels) == colours


def test_interlaced_is_said(tmp_path):
    path = tmp_path / "tape.mkv"
    film(path, [QUARTERS] * 2, interlaced=True)
    with pytest.warns(UserWarning, match=r"tape\.mkv' is interlaced: .* bwdif"):
        assert len(list(open_source(path))) == 2


def test_frames_above_the_limit_of_pictures(tmp_path, monkeypatch):
    path = tmp_path / "large.mp4"
    film(path, [QUARTERS] * 2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with pytest.raises(ValueError, match=r"large.mp4' has frames of 96x64 pixels"):
        open_source(path)
