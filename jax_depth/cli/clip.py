"""One clip through a model into its files."""

import argparse
import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jax_depth.cli.interrupt import Interrupt
from jax_depth.cli.usage import UsageError
from jax_depth.inference.frames import Selection
from jax_depth.inference.video import VideoDepth
from jax_depth.inference.video_file import PIPE, is_camera
from jax_depth.outputs.clips import ClipWriter, FilmWriter, FrameFolderWriter, NpzWriter
from jax_depth.outputs.video import SUFFIXES, VideoWriter, codec_for


@dataclasses.dataclass
class Clip:
    """One input, its files, and what became of it.

    Attributes:
        word: the input as it was given.
        files: format -> file or folder.
        problems: one sentence each; the clip counts as failed if there is one.
        frames: written.
        size: of the first frame, (width, height).
        cuts: seconds at which another scene begins.
        seconds: it took.
        interrupted: whether Ctrl-C ended it.
    """

    word: str
    files: dict[str, Path]
    problems: list[str] = dataclasses.field(default_factory=list)
    frames: int = 0
    size: tuple[int, int] | None = None
    cuts: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def document(self) -> dict[str, Any]:
        """Return what became of it, for JSON."""
        files = {name: str(path) for name, path in self.files.items()}
        return {
            "input": self.word,
            "files": files if self.frames else {},
            "frames": self.frames,
            "size": self.size,
            "cuts": [round(second, 3) for second in self.cuts],
            "seconds": round(self.seconds, 3),
            "problems": self.problems,
            "interrupted": self.interrupted,
        }

    def line(self) -> str:
        """Return what became of it, for people."""
        if not self.frames:
            return f"{self.word}: nothing written"
        names = ", ".join(str(path) for path in self.files.values())
        rate = self.frames / max(self.seconds, 1e-9)
        noun = "frame" if self.frames == 1 else "frames"
        end = "; interrupted" if self.interrupted else ""
        return (
            f"{self.word}: {self.frames} {noun} written to {names}; "
            f"{self.seconds:.1f} s, {rate:.1f} frames a second{end}"
        )


def result_files(
    words: Sequence[str], args: argparse.Namespace
) -> dict[str, dict[str, Path]]:
    """Return the files of each input, and make their folder.

    Raises:
        UsageError: they would overwrite an input or one another.
        OSError: the folder cannot be made.
    """
    out: Path = args.outdir
    suffix = out.suffix.lower()
    if suffix in (*SUFFIXES, ".npz"):
        if len(words) > 1 or args.format:
            raise UsageError(
                f"-o {out} is one file, for one INPUT and without --format"
            )
        files = {words[0]: {"npz" if suffix == ".npz" else "film": out}}
        folder = out.parent
    else:
        files, folder = {}, out
        for word in words:
            stem = _stem(word)
            ways = {"film": f"{stem}.mp4", "png16": stem, "npz": f"{stem}.npz"}
            chosen = args.format or ["film"]
            files[word] = {name: out / ways[name] for name in chosen}
    taken = {Path(word).resolve() for word in words}
    for word, paths in files.items():
        for path in paths.values():
            if path.resolve() in taken:
                raise UsageError(
                    f"'{word}': its result '{path}' would overwrite an input or "
                    "another result; choose another place with -o"
                )
            taken.add(path.resolve())
    try:
        for paths in files.values():
            if "film" in paths:
                codec_for(paths["film"], args.codec)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if args.audio and not any("film" in paths for paths in files.values()):
        raise UsageError("--audio needs a film to go into; add film to --format")
    folder.mkdir(parents=True, exist_ok=True)
    return files


def _stem(word: str) -> str:
    if word == PIPE:
        return "stdin_depth"
    if is_camera(word):
        return f"camera{word}_depth"
    return f"{Path(word).resolve().stem}_depth"


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
    except (OSError, ValueError, MemoryError, RuntimeError) as error:
        clip.problems.append(_sentence(clip.word, error))
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
        on_measured=lambda: bar.update(),
    ) as video:
        passes = 2 if shown == "clip" else 1
        total = video.source.expected and passes * video.source.expected
        disable = True if args.quiet else None  # None: unless stderr is a terminal
        if args.audio and video.source.audio is None:
            clip.problems.append(f"'{clip.word}' has no sound to copy")
        with tqdm(total=total, unit="frame", desc=clip.word, disable=disable) as bar:
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
                    for writer in writers:
                        writer.write(result)
                    clip.frames += 1
                    height, width = result.frame.pixels.shape[:2]
                    sizes[width, height] = None
                    clip.size = next(iter(sizes))
                    if result.placed.cut:
                        clip.cuts.append(result.frame.time)
                bar.update()
    finally:
        with interrupt.shield(), contextlib.ExitStack() as finish:
            for writer in writers:  # each, even where another fails
                finish.callback(writer.close)
        if len(sizes) > 1:
            width, height = next(iter(sizes))
            clip.problems.append(
                f"'{clip.word}' changes its size; frames that are not {width}x{height} "
                "were fitted into that"
            )


def _writers(clip: Clip, video: VideoDepth, args) -> list[ClipWriter]:
    """Return what writes each file; films come first, since they refuse most."""
    writers: list[ClipWriter] = []
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
        writers.append(FilmWriter(film, colormap=colormap, beside=not args.pred_only))
    if "png16" in clip.files:
        writers.append(FrameFolderWriter(clip.files["png16"]))
    if "npz" in clip.files:
        writers.append(NpzWriter(clip.files["npz"]))
    return writers


def _sentence(word: str, error: BaseException) -> str:
    """Return one line that names the clip and what happened to it."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return f"'{word}': not enough memory; try a smaller --size or --batch-size"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return f"'{word}': '{error.filename}': {error.strerror}"
    text = " ".join(str(error).split())
    return text if word in text else f"'{word}': {text}"
