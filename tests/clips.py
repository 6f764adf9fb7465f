"""Tiny clips for the tests of video, a fake model, and an independent reader."""

import dataclasses
from fractions import Fraction

import av
import cv2
import numpy as np

import jax_depth
from jax_depth.cli import video
from jax_depth.depth_map import DepthMap
from jax_depth.inference.resample import resize_bilinear
from jax_depth.models.output import Output


class FakeModel:
    """Depth is the red channel of every second pixel; batches are remembered."""

    def __init__(self, kind="inverse_depth", batch_size=2):
        config = jax_depth.MODELS["tiny"].config
        self.config = dataclasses.replace(config, name="fake", kind=kind)
        self.engine = "xla"
        self.batch_size = batch_size
        self.batches = []

    def prepare(self, picture, *, name=None):
        return picture[None, ::2, ::2].astype(np.float32)

    def run(self, pixels):
        self.batches.append(len(pixels))
        return Output(pixels[..., 0])

    def depth_map(self, values, shape):
        unit = "m" if self.config.kind == "metric_depth" else None
        return DepthMap(resize_bilinear(values, shape), self.config.kind, unit, "fake")


def stand_in(monkeypatch, folder):
    """Put a fake model in place of every other, and work in an empty folder."""
    model = FakeModel()
    monkeypatch.setattr(video, "load_estimator", lambda args: model)
    monkeypatch.chdir(folder)
    return model


def close(one, other, mean):
    """Assert that pictures agree but for H.264's losses."""
    one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
    assert one.shape == other.shape
    assert np.abs(one - other).mean() < mean


def pictures(count=12, size=(32, 48)):
    """Return smooth frames, each of its own brightness, with a bar that moves."""
    rows, columns = np.indices(size, dtype=np.float32)
    frames = np.empty((count, *size, 3), np.uint8)
    for k in range(count):
        frames[k, ..., 0] = 20 + 4 * k + columns / size[1] * 120
        frames[k, ..., 1] = 60 + rows / size[0] * 120
        frames[k, ..., 2] = 40
        frames[k, :, (2 * k) % size[1] : (2 * k) % size[1] + 6] = 200
    return frames


def write_clip(
    path, frames, rate=10, codec="libx264", times=None, sound=None, **options
):
    """Write a clip; `sound` is a codec for a tone as long as the frames."""
    with av.open(str(path), "w", options=options.pop("container", {})) as out:
        stream = out.add_stream(codec, rate=Fraction(rate), options=options)
        height, width = frames[0].shape[:2]
        stream.width, stream.height = width, height
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream(sound, rate=48000) if sound else None
        for k, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[k], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            out.mux(_tone(audio, len(frames) / rate))
    return path


def _tone(stream, seconds):
    count = int(48000 * seconds)
    wave = 0.3 * np.sin(np.arange(count) * 2 * np.pi * 440 / 48000)
    packets, fifo = [], stream.codec_context
    for k in range(0, count - 1023, 1024):
        block = np.repeat(wave[None, k : k + 1024], 2, 0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, k
        frame.time_base = Fraction(1, 48000)
        packets += fifo.encode(frame)
    packets += fifo.encode(None)
    for packet in packets:
        packet.stream = stream
    return packets


def read_clip(path):
    """Return RGB frames (t, h, w, 3) and their seconds as OpenCV reads them."""
    video, frames, times = cv2.VideoCapture(str(path)), [], []
    assert video.isOpened(), path
    while True:
        whole, frame = video.read()
        if not whole:
            return np.array(frames), np.array(times)
        frames.append(frame[..., ::-1])
        times.append(video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
