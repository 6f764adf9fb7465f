"""`POST /depth` as curl sees it, on a real socket."""

import io
import re
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import app_server
import numpy as np
import pytest
import small_models
import tifffile
from app_server import ask
from PIL import Image
from raw_photos import raw_photo

from jax_depth import outputs

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

RNG = np.random.default_rng(0)


def photo(height=60, width=80, format="PNG", **options) -> bytes:
    """Return a file of random pixels."""
    stream = io.BytesIO()
    pixels = RNG.integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def relative():
    return app_server.small()


@pytest.fixture(scope="module")
def metric():
    return app_server.small(small_models.METRIC_SWIGLU)


@pytest.fixture(scope="module")
def address(relative, metric):
    limits = {"upload_bytes": 200_000, "pixels": 40_000, "size": 112, "tokens": 256}
    with app_server.running(relative, metric, **limits) as server:
        yield server.address


def pixels_of(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file))


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"]
)
def test_npy_is_what_the_estimator_gives(address, relative, format):
    file = photo(format=format)
    status, headers, body = ask(address, "/depth?format=npy", file)
    assert status == 200, body
    values = np.load(io.BytesIO(body))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, relative(pixels_of(file)).values)
    assert headers["X-Depth-Kind"] == "inverse_depth"
    assert headers["X-Depth-Model"] == "small-relative"
    assert headers["X-Depth-Batch"] == "1"
    assert "X-Depth-Unit" not in headers
    ends = [float(headers[f"X-Depth-{end}"]) for end in ("Min", "Max")]
    np.testing.assert_array_equal(np.float32(ends), [values.min(), values.max()])


def test_a_tiff_of_colours_in_floats_is_read(address, relative):
    pixels, stream = RNG.random((60, 80, 3), np.float32), io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb")
    status, _, body = ask(address, "/depth?format=npy", stream.getvalue())
    assert status == 200, body
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), relative(pixels).values)


def test_png_is_the_16_bit_file(address, relative, tmp_path):
    file = photo()
    status, headers, body = ask(address, "/depth", file)
    assert (status, headers["Content-Type"]) == (200, "image/png")
    (tmp_path / "depth.png").write_bytes(body)
    read, expected = outputs.load(tmp_path / "depth.png"), relative(pixels_of(file))
    step = np.ptp(expected.values) / 65535
    np.testing.assert_allclose(read.values, expected.values, atol=0.51 * step, rtol=0)
    assert (read.kind, read.model) == ("inverse_depth", "small-relative")


@pytest.mark.parametrize("format", ["npz", "exr"])
def test_files_that_say_what_they_hold(address, metric, tmp_path, format):
    file, path = photo(), tmp_path / f"depth.{format}"
    query = f"?format={format}&model=small-metric-swiglu"
    status, headers, body = ask(address, f"/depth{query}", file)
    assert status == 200 and f"depth.{format}" in headers["Content-Disposition"]
    path.write_bytes(body)
    read, expected = outputs.load(path), metric(pixels_of(file))
    np.testing.assert_array_equal(read.values, expected.values)
    assert (read.kind, read.unit) == ("metric_depth", "m")


def test_model_and_size_are_options(address, metric):
    file = photo()
    path = "/depth?model=small-metric-swiglu&size=84&format=npy"
    status, headers, body = ask(address, path, file)
    assert (status, headers["X-Depth-Unit"]) == (200, "m")
    values = np.load(io.BytesIO(body))
    assert values.shape == (60, 80)
    other = ask(address, path.replace("84", "56"), file)[2]
    assert not np.array_equal(values, np.load(io.BytesIO(other)))
    np.testing.assert_array_equal(np.load(io.BytesIO(other)), metric(pixels_of(file)))


def test_exif_orientation_is_applied(address):
    exif = Image.Exif()
    exif[274] = 6
    body = ask(address, "/depth?format=npy", photo(60, 80, "JPEG", exif=exif))[2]
    assert np.load(io.BytesIO(body)).shape == (80, 60)


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that announces a size and has no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize(
    "path, body, status, words",
    [
        ("", b"no picture", 415, "^the body is not a picture"),
        ("", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "a drawing"),
        ("", b"", 422, "empty"),
        ("", photo(format="JPEG")[:700], 422, "damaged or truncated"),
        ("", bytes(200_001), 413, "more than 0.190735 MiB"),
        ("", photo(201, 200), 413, "200 x 201 .* 0.04 million"),
        ("", png_of(60_000, 60_000), 413, "far too many pixels"),
        ("", photo(2, 400), 422, "too elongated|patches"),
        ("?size=112", photo(30, 1000), 422, "256 are allowed"),
        ("?model=large", photo(), 422, "'large'; there are: small-"),
        ("?size=13", photo(), 422, "size is 13; give 14 to 112"),
        ("?size=113", photo(), 422, "give 14 to 112"),
        ("?size=-1", photo(), 422, "size '-1' is not a whole number"),
        ("?size=99999999", photo(), 422, "99999999; give 14 to 112"),
        ("?size=" + "9" * 5000, photo(), 422, "is too large; give 14 to 112"),
        ("", raw_photo("cfa"), 415, "camera raw file"),
        ("?sizes=56", photo(), 422, "'sizes' is unknown.*did you mean 'size'"),
        ("?format=jpg", photo(), 422, "'jpg'.*give png, npy, npz"),
    ],
)  # fmt: skip
def test_mistakes_are_sentences(address, path, body, status, words):
    answered, headers, text = ask(address, f"/depth{path}", body, method="POST")
    sentence = text.decode()
    assert answered == status, sentence
    assert headers["Content-Type"].startswith("text/plain")
    assert re.search(words, sentence), sentence
    assert sentence.endswith("\n") and sentence.count("\n") == 1


def test_a_refusal_arrives_though_the_picture_is_long(relative):
    # Longer than what lies in sockets on its way.
    with app_server.running(relative, upload_bytes=2**20) as server:
        for path, status in (("?format=jpg", 422), ("", 413)):
            answer = ask(server.address, f"/depth{path}", bytes(8 * 2**20))
            assert answer[0] == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_depth_takes_post_alone(address, method):
    status, headers, text = ask(address, "/depth", method=method)
    assert status == 405 and headers["Allow"] == "POST"
    assert headers["Content-Type"].startswith("text/plain")
    assert method == "HEAD" or b"curl" in text


class Gate:
    """Holds a model's first call until a number of pictures wait behind it."""

    def __init__(self, estimator, monkeypatch):
        self.open = threading.Event()
        self.entered = threading.Event()
        self.calls = []
        run = estimator.run

        def gated(pixels):
            self.calls.append(len(pixels))
            self.entered.set()
            assert self.open.wait(60)
            return run(pixels)

        monkeypatch.setattr(estimator, "run", gated)


def test_concurrent_requests_share_device_calls(relative, monkeypatch):
    files = [photo() for _ in range(9)]
    expected = [relative(pixels_of(file)).values for file in files]
    gate = Gate(relative, monkeypatch)
    with app_server.running(relative) as server, ThreadPoolExecutor(9) as clients:
        post = lambda file: ask(server.address, "/depth?format=npy", file)
        answers = [clients.submit(post, files[0])]
        assert gate.entered.wait(60)
        answers += [clients.submit(post, file) for file in files[1:]]
        server.wait_until(8)
        gate.open.set()
        answers = [answer.result(60) for answer in answers]
    assert [status for status, *_ in answers] == [200] * 9
    assert sorted(gate.calls) == [1, 4, 4]
    together = [int(headers["X-Depth-Batch"]) for _, headers, _ in answers]
    assert together == [1, *[4] * 8]
    for (_, _, body), values in zip(answers, expected, strict=True):
        spread = values.std()
        np.testing.assert_allclose(
            np.load(io.BytesIO(body)), values, atol=5e-5 * spread, rtol=0
        )


def test_a_full_queue_and_a_late_answer_are_sentences(relative, monkeypatch):
    gate = Gate(relative, monkeypatch)
    with (
        app_server.running(relative, waiting=2, seconds=1.0) as server,
        ThreadPoolExecutor(2) as clients,
    ):
        post = lambda: ask(server.address, "/depth", photo())
        held = [clients.submit(post)]
        assert gate.entered.wait(60)
        held.append(clients.submit(post))
        server.wait_until(1)
        status, headers, text = post()
        assert status == 429 and headers["Retry-After"] == "1"
        assert text.startswith(b"2 pictures are being worked on")
        for answer in held:
            status, _, text = answer.result(60)
            assert status == 504 and b"did not get to the picture in time" in text
        gate.open.set()
        assert post()[0] == 200


def test_a_model_that_runs_out_of_memory_is_a_sentence(relative, monkeypatch):
    def run(pixels):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(relative, "run", run)
    with app_server.running(relative) as server:
        status, _, text = ask(server.address, "/depth", photo())
    assert status == 503 and b"not enough memory" in text


@pytest.mark.slow
def test_load_loses_nothing_and_keeps_no_memory(relative):
    # Three sizes from eight clients: what every answer must be is known beforehand.
    files = [photo(*size) for size in ((60, 80), (80, 60), (64, 64))]
    expected = [relative(pixels_of(file)).values for file in files]
    resident = []
    with app_server.running(relative) as server, ThreadPoolExecutor(8) as clients:

        def one(i):
            answer = ask(server.address, "/depth?format=npy", files[i % 3])
            resident.append(resident_bytes())
            return answer

        answers = list(clients.map(one, range(200)))
    for i, (status, _, body) in enumerate(answers):
        assert status == 200
        values = expected[i % 3]
        found = np.load(io.BytesIO(body))
        np.testing.assert_allclose(found, values, atol=5e-5 * values.std(), rtol=0)
    if resident[0]:  # by then every size and number of pictures is compiled
        assert resident[-1] - resident[100] < 32 * 2**20


def resident_bytes() -> int:
    """Return this process's memory where the system tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0
