"""One clip through a model into its files."""

import argparse
import contextlib
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jax_depth.cli.interrupt import Interrupt
from jax_depth.cli.photos import Photo
from jax_depth.cli.result_names import result_stems
from jax_depth.cli.usage import UsageError, make_folder
from jax_depth.formats.printable import printable
from jax_depth.video.clips import ClipWriter, FilmWriter, FrameFolderWriter, NpzWriter
from jax_depth.video.frames import Selection
from jax_depth.video.reading import PIPE, is_camera
from jax_depth.video.video_depth import VideoDepth
from jax_depth.video.writing import SUFFIXES, VideoWriter, codec_for

# Suffixes of films that are read but not written, and never meant as a folder.
_UNWRITTEN = frozenset(
    ".3gp .asf .avi .flv .m2ts .m4v .mpeg .mpg .mts .ogv .ts .vob .wmv".split()
)
_FAILURES = (OSError, ValueError, MemoryError, RuntimeError)


@dataclasses.dataclass
class Clip:
    """One input, its files, and the outcome.

    Attributes:
        word: the input as it was given.
        files: format -> file or folder that is wanted.
        written: those of them that are there and whole.
        problems: one sentence each; the clip counts as failed if there is one.
        frames: written; 0 where no file is.
        size: of the first frame, (width, height).
        cuts: seconds at which another scene begins.
        seconds: it took.
        interrupted: whether Ctrl-C ended it.
    """

    word: str
    files: dict[str, Path]
    written: dict[str, Path] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)
    frames: int = 0
    size: tuple[int, int] | None = None
    cuts: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def document(self) -> dict[str, Any]:
        """Return the outcome, for JSON."""
        return {
            "input": self.word,
            "files": {name: str(path) for name, path in self.written.items()},
            "frames": self.frames,
            "size": self.size,
            "cuts": [round(second, 3) for second in self.cuts],
            "seconds": round(self.seconds, 3),
            "problems": self.problems,
            "interrupted": self.interrupted,
        }

    def line(self) -> str:
        """Return the outcome, for people."""
        if not self.written:
            return f"{self.word}: nothing written"
        names = ", ".join(map(str, self.written.values()))
        rate = self.frames / max(self.seconds, 1e-9)
        noun = "frame" if self.frames == 1 else "frames"
        end = "; interrupted" if self.interrupted else ""
        return (
            f"{self.word}: {self.frames} {noun} written to {names}; "
            f"{self.seconds:.1f} s, {rate:.1f} frames a second{end}"
        )

    def failed(self, error: BaseException) -> None:
        """Remember what went wrong, once."""
        sentence = _sentence(self.word, error)
        if sentence not in self.problems:
            self.problems.append(sentence)


def result_files(
    words: Sequence[str], args: argparse.Namespace
) -> dict[str, dict[str, Path]]:
    """Return the files of each input, and make their folders and try them.

    Raises:
        UsageError: they would overwrite an input, are folders, or cannot be written.
    """
    inputs = [_named(word) for word in words]
    taken = {os.path.realpath(clip.path) for clip in inputs}
    if len({clip.path for clip in inputs}) < len(words):
        raise UsageError("an INPUT was given twice")
    out: Path = args.outdir
    suffix = out.suffix.lower()
    if suffix in (*SUFFIXES, ".npz"):
        if len(words) > 1 or args.format:
            raise UsageError(
                f"-o {out} is one file, for one INPUT and without --format"
            )
        files = {words[0]: {"npz" if suffix == ".npz" else "film": out}}
    elif suffix in _UNWRITTEN and not out.is_dir():
        raise UsageError(
            f"-o {out}: films are written as {', '.join(SUFFIXES)}; choose one"
        )
    else:
        files = {}
        for word, stem in zip(words, result_stems(inputs), strict=True):
            chosen = args.format or ["film"]
            ways = {"film": "_depth.mp4", "png16": "_depth", "npz": "_depth.npz"}
            files[word] = {name: out / f"{stem}{ways[name]}" for name in chosen}
    if args.audio and not any("film" in paths for paths in files.values()):
        raise UsageError("--audio needs a film to go into; add film to --format")
    for word, paths in files.items():
        for name, path in paths.items():
            _try(word, name, path, args.codec, taken)
    return files


def _named(word: str) -> Photo:
    """Return an input in the way that names of results are made from."""
    if word == PIPE:
        path = Path("/dev/stdin")
    elif is_camera(word):
        path = Path(f"/dev/camera{word}")
    else:
        path = Path(os.path.abspath(word))
    return Photo(path, path.parent)


def _try(word: str, name: str, path: Path, codec: str | None, taken: set[str]) -> None:
    """Refuse a result that could not be written, before loading a model in vain."""
    if os.path.realpath(path) in taken:
        raise UsageError(
            f"'{word}': its result '{path}' would overwrite an input; choose another "
            "place with -o"
        )
    if name != "png16" and path.is_dir():
        raise UsageError(
            f"'{word}': its result '{path}' is already a folder; choose another place "
            "with -o"
        )
    try:
        if name == "film":
            codec_for(path, codec)
        make_folder(path.parent)
    except ValueError as error:
        raise UsageError(str(error)) from None


def process(
    clip: Clip,
    estimator: Any,
    shown: Any,
    args: argparse.Namespace,
    interrupt: Interrupt,
) -> None:
    """Write the files of one clip; `clip` says what became of it.

    Whatever ends the clip early, damage, a full disk or Ctrl-C, its files hold the
    frames until then.
    """
    start = time.perf_counter()
    try:
        _run(clip, estimator, shown, args, interrupt)
    except KeyboardInterrupt:
        clip.interrupted = True
    except _FAILURES as error:
        clip.failed(error)
    if not clip.written:
        clip.frames = 0
    clip.seconds = time.perf_counter() - start


def _run(clip: Clip, estimator: Any, shown: Any, args, interrupt: Interrupt) -> None:
    from tqdm import tqdm

    selection = Selection(args.start, args.fps, args.max_frames)
    bar: Any = None
    with VideoDepth(
        estimator,
        clip.word,
        selection,
        range=shown,
        audio=args.audio and "film" in clip.files,
        smooth=args.smooth,
        streaming=args.streaming,
        stitch=args.stitch,
        on_measured=lambda: bar.update(),
    ) as video:
        passes = 2 if shown == "clip" else 1
        total = video.source.expected and passes * video.source.expected
        disable = True if args.quiet else None  # None: unless stderr is a terminal
        if args.audio and video.source.audio is None:
            clip.problems.append(f"'{clip.word}' has no sound to copy")
        word = printable(clip.word)
        with tqdm(total=total, unit="frame", desc=word, disable=disable) as bar:
            _write_all(clip, video, args, interrupt, bar)
        clip.interrupted |= video.interrupted
        clip.problems.extend(video.source.problems)


def _write_all(clip: Clip, video: VideoDepth, args, interrupt: Interrupt, bar) -> None:
    """Write every frame to every file, and finish the files whatever happens."""
    writers = _writers(clip, video, args)
    sizes: dict[tuple[int, int], None] = {}
    try:
        with contextlib.closing(iter(video)) as results:
            for result in results:
                with interrupt.shield():
                    for writer in writers.values():
                        writer.write(result)
                    clip.frames += 1
                    height, width = result.frame.pixels.shape[:2]
                    sizes[width, height] = None
                    clip.size = next(iter(sizes))
                    if result.placed.cut:
                        clip.cuts.append(result.frame.time)
                bar.update()
    finally:
        with interrupt.shield():
            for name, writer in writers.items():  # each, even where another fails
                try:
                    if writer.close():
                        clip.written[name] = clip.files[name]
                except _FAILURES as error:
                    clip.failed(error)
        if len(sizes) > 1:
            width, height = next(iter(sizes))
            clip.problems.append(
                f"'{clip.word}' changes size; frames that are not {width}x{height} "
                "were fitted into it"
            )


def _writers(clip: Clip, video: VideoDepth, args) -> dict[str, ClipWriter]:
    """Return what writes each file; films come first, since they refuse most."""
    writers: dict[str, ClipWriter] = {}
    source = video.source
    if "film" in clip.files:
        film = VideoWriter(
            clip.files["film"],
            source.rate,
            codec=args.codec,
            quality=args.quality,
            audio=source.audio,
            packets=source.packets,
        )
        colormap = "gray" if args.grayscale else args.colormap
        beside = not args.pred_only
        writers["film"] = FilmWriter(
            film, colormap=colormap, beside=beside, legend=args.legend
        )
    if "png16" in clip.files:
        writers["png16"] = FrameFolderWriter(clip.files["png16"])
    if "npz" in clip.files:
        writers["npz"] = NpzWriter(clip.files["npz"])
    return writers


def _sentence(word: str, error: BaseException) -> str:
    """Return one line that names the clip and what happened to it."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return f"'{word}': not enough memory; try a smaller --size or --batch-size"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        what = f"'{error.filename}': " if error.filename else ""
        return f"'{word}': {what}{error.strerror}"
    text = str(error)
    if word not in text:  # as it is: a name may hold two spaces
        text = f"'{word}': {' '.join(text.split())}"
    return " ".join(text.splitlines())
