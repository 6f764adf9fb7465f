"""The tab for a video: drop it, watch its depth beside it."""

import contextlib
import html
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import gradio as gr

from jax_depth.app.decode import check_bytes
from jax_depth.app.limits import Limits
from jax_depth.app.looks import legend_of
from jax_depth.app.messages import Refusal, progress_html, refusal_html
from jax_depth.app.models import check_size, find_model
from jax_depth.app.queued import QueuedEstimator
from jax_depth.app.service import Service
from jax_depth.app.settings import SettingsPanel
from jax_depth.formats.optional import installed
from jax_depth.models.architectures import sees_clips
from jax_depth.outputs.colormap import COLORMAPS
from jax_depth.outputs.legend import Words
from jax_depth.video.clips import FilmWriter
from jax_depth.video.frames import Selection
from jax_depth.video.video_depth import FrameDepth, VideoDepth
from jax_depth.video.writing import VideoWriter

_RANGES = {
    "Steady": "stream",
    "One for the whole clip": "clip",
    "Each frame its own": "frame",
}
# Seconds between two lines of progress.
_BEAT = 0.5


class VideoTab:
    """Components of the tab and what they do."""

    def __init__(self, service: Service, folder: Path):
        """Lay out the tab, inside a `gr.Blocks` context.

        Args:
            service: whose models and queue are used.
            folder: under which films are written.
        """
        self._service, self._folder = service, folder
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                clip = gr.File(
                    label=f"Video, up to {service.limits.frames} frames",
                    file_types=["video"],
                    height=180,
                    elem_id="clip",
                )
                # As it was uploaded; gradio would leave an empty file beside it.
                clip.preprocess = lambda payload: payload and payload.path  # pyright: ignore
                span = gr.Radio(
                    list(_RANGES), value=next(iter(_RANGES)), label="Range of colours"
                )
                self._settings = SettingsPanel(
                    service.models, service.limits.size, prefix="clip-", ranges=False
                )
                start = gr.Button("Compute", variant="primary", elem_id="clip-start")
                stop = gr.Button("Stop", elem_id="clip-stop")
            with gr.Column(scale=2, min_width=320):
                message = gr.HTML(elem_id="clip-message")
                film = gr.Video(
                    label="Video and depth", buttons=["download"], elem_id="film"
                )
                key = gr.HTML(_key(COLORMAPS[0]), elem_id="film-legend")
        colours = self._settings.colours
        colours.change(_key, colours, key, api_visibility="private")
        # One clip at a time: the others are shown their place in the queue.
        running = start.click(
            self._run,
            [clip, span, *self._settings.inputs],
            [message, film],
            show_progress="hidden",
            concurrency_limit=1,
            api_visibility="private",
        )
        stop.click(
            lambda: "<p>stopped</p>",
            None,
            message,
            cancels=running,
            api_visibility="private",
        )

    def _run(self, clip: str | None, span: str, *settings: Any) -> Iterator[tuple]:
        """Yield the message and the film as it progresses."""
        try:
            if clip is None:
                raise Refusal(422, "drop a video first")
            path = Path(clip)
            _check(path, self._service)
            chosen = self._settings.read(*settings)
            estimator = find_model(self._service.models, chosen.model)
            size = check_size(estimator, chosen.size, self._service.limits)
            folder = self._folder / secrets.token_urlsafe(16)
            folder.mkdir()
            film = _Film(
                path,
                folder / f"{path.stem}_depth.mp4",
                _RANGES[span],
                chosen.look.colours,
                self._service.limits,
            )
            batcher, limits = self._service.batcher, self._service.limits
            with self._service.work.clip():
                queued = QueuedEstimator(estimator, size, batcher, limits)
                yield from _follow(film, queued)
        except Refusal as refusal:
            yield refusal_html(refusal), None
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())
            text = text.replace(str(clip), Path(clip or "").name)
            yield refusal_html(Refusal(422, text)), None


def _follow(film: "_Film", estimator: QueuedEstimator) -> Iterator[tuple]:
    """Yield how far a film is while it is made in another thread."""
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(film.make, estimator)
        try:
            while not wait([made], timeout=_BEAT).done:
                yield film.progress(), gr.skip()
        finally:
            film.stopped = True  # the user pressed stop or left the page
        made.result()
    yield film.summary(), str(film.target) if film.target.exists() else None


class _Film:
    """A video on its way to a film of its depth."""

    def __init__(
        self, clip: Path, target: Path, span: str, colours: str, limits: Limits
    ):
        self.target, self.stopped = target, False
        self._clip, self._span, self._colours = clip, span, colours
        self._limits = limits
        self._done, self._total, self._passes = 0, limits.frames, 1
        self._start = time.perf_counter()
        self._notes: list[str] = []
        self._way = ""

    def make(self, estimator: QueuedEstimator) -> None:
        """Write the film; when stopped, of the frames until then."""
        selection = Selection(count=self._limits.frames)
        span: Any = self._span
        if sees_clips(estimator.config):
            self._way = (
                "Each frame was computed from those before it; jax-depth video sees 32 "
                "together, which is more exact"
            )
        with (
            contextlib.suppress(_Stopped),
            VideoDepth(
                estimator, self._clip, selection, range=span, on_measured=self._count
            ) as video,
        ):
            self._passes = 2 if span == "clip" else 1
            expected = video.source.expected or self._limits.frames
            self._total = self._passes * min(expected, self._limits.frames)
            file = VideoWriter(self.target, video.source.rate)
            with contextlib.closing(FilmWriter(file, colormap=self._colours)) as film:
                for result in video:
                    _check_frame(result, self._limits)
                    film.write(result)
                    self._count()
            self._notes = video.source.problems

    def progress(self) -> str:
        """Return a line with frames a second and the time left, and a bar."""
        seconds = time.perf_counter() - self._start
        return progress_html(self._done, self._total, seconds, "frames")

    def summary(self) -> str:
        """Return what was done, and the video's problems."""
        seconds = time.perf_counter() - self._start
        lines = [f"{self._done // self._passes} frames in {seconds:.1f} seconds"]
        notes = [note.replace(str(self._clip), self._clip.name) for note in self._notes]
        lines += [self._way] if self._way else []
        return "".join(f"<p>{html.escape(line)}.</p>" for line in lines + notes)

    def _count(self) -> None:
        self._done += 1
        if self.stopped:
            raise _Stopped


class _Stopped(Exception):
    """Raised when nobody waits for the film any more."""


def _key(colours: str) -> str:
    """Return the legend of a film: its numbers change from frame to frame."""
    return legend_of(Words("near", "far", ""), colours)


def av_installed() -> bool:
    """Whether the packages of `jax_depth[video]` are installed."""
    return installed("av")


def _check(clip: Path, service: Service) -> None:
    """Refuse what is not a video, before FFmpeg sees it.

    FFmpeg also reads playlists, which name other files of this machine.
    """
    check_bytes(clip.stat().st_size, service.limits, repr(clip.name))
    with clip.open("rb") as file:
        head = file.read(16)
    known = (
        head[4:8] == b"ftyp"  # MP4, MOV, 3GP
        or head[:4] == b"\x1a\x45\xdf\xa3"  # Matroska, WebM
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )
    if not known:
        raise Refusal(
            415,
            f"{clip.name!r} is not a video this page takes; drop an MP4, MOV, MKV, "
            "WebM or AVI",
        )


def _check_frame(result: FrameDepth, limits: Limits) -> None:
    height, width = result.depth.shape
    if height * width > limits.pixels:
        raise Refusal(
            413,
            f"a frame has {width} x {height} pixels, more than the "
            f"{limits.pixels / 1e6:g} million this server takes",
        )
