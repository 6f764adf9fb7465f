"""`--prompt`: which coarse depth map belongs to which photo, and what takes both."""

import argparse
import dataclasses
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jax_depth.cli.photos import Photo, Problem
from jax_depth.cli.usage import UsageError


def add_prompt_arguments(group: argparse._ActionsContainer) -> None:
    """Declare the options."""
    from jax_depth.formats.maps import METRES

    group.add_argument(
        "--prompt",
        type=Path,
        metavar="PATH",
        help="a coarse depth map (16-bit PNG in millimetres, npy, npz, pfm, exr,"
        " tiff), or a folder of them with the photos' names: for models "
        "that take one, such as prompt-depth-anything-small",
    )
    group.add_argument(
        "--prompt-unit",
        choices=tuple(METRES),
        help="unit of the prompts' numbers (default: m; a 16-bit PNG that states"
        " none is in millimetres)",
    )


@dataclasses.dataclass
class Prompts:
    """The prompts of a command line.

    Attributes:
        path: a depth map, or a folder of them.
        unit: of their numbers.
        of: photo -> its depth map, once `match` was called.
    """

    path: Path
    unit: str
    of: dict[Path, Path] = dataclasses.field(default_factory=dict)

    @classmethod
    def asked(cls, args: argparse.Namespace) -> "Prompts | None":
        """Return those of a parsed command line; None without any.

        Raises:
            UsageError: the path does not exist, or a unit is given without one.
        """
        if args.prompt is None:
            if args.prompt_unit is not None:
                raise UsageError("--prompt-unit goes with --prompt")
            return None
        if not args.prompt.exists():
            raise UsageError(f"--prompt: '{args.prompt}' does not exist")
        return cls(args.prompt, args.prompt_unit or "m")

    def match(
        self, photos: Sequence[Photo], words: Sequence[str]
    ) -> tuple[list[Photo], list[Problem]]:
        """Return the photos that have a prompt, and those without a partner.

        Photos below the folder of prompts are prompts and left out. A prompt without a
        photo is a problem where a whole folder of photos was given.

        Args:
            photos: what `words` mean.
            words: of the command line.

        Raises:
            UsageError: one prompt for several photos, or one folder for both.
        """
        if not self.path.is_dir():
            if len(photos) > 1:
                raise UsageError(
                    f"--prompt '{self.path}' is one depth map, and there are "
                    f"{len(photos)} photos; give a folder of depth maps named as the "
                    "photos are"
                )
            self.of = {photo.path: self.path for photo in photos}
            return list(photos), []
        folder = os.path.realpath(self.path)
        if any(os.path.realpath(photo.root) == folder for photo in photos):
            raise UsageError(
                f"--prompt '{self.path}' also holds the photos; keep depth maps in a "
                "folder of their own"
            )
        maps, problems, paired = self._maps(), [], []
        used: set[str] = set()
        for photo in photos:
            if os.path.realpath(photo.path).startswith(folder + os.sep):
                continue
            name = photo.path.relative_to(photo.root).with_suffix("").as_posix()
            found = maps.get(name, [])
            used.add(name)
            if len(found) == 1:
                self.of[photo.path] = found[0]
                paired.append(photo)
                continue
            sentence = f"'{photo.path}' has no depth map '{self.path / name}.*'"
            if found:
                names = " and ".join(path.name for path in found)
                sentence = f"'{photo.path}' has several depth maps: {names}"
            problems.append(Problem(str(photo.path), sentence))
        if any(os.path.isdir(word) for word in words):
            problems += [
                Problem(str(path), f"'{path}' has no photo of the same name")
                for name in maps.keys() - used
                for path in maps[name]
            ]
        return paired, sorted(problems, key=lambda problem: problem.name)

    def beside(self, estimator: Any) -> "PromptedEstimator":
        """Return what computes photos with these prompts."""
        return PromptedEstimator(estimator, self.of, self.unit)

    def _maps(self) -> dict[str, list[Path]]:
        from jax_depth.formats.maps import MAP_SUFFIXES

        maps: dict[str, list[Path]] = {}
        for path in sorted(self.path.rglob("*")):
            if path.suffix.lower() in MAP_SUFFIXES and not path.name.startswith("."):
                name = path.relative_to(self.path).with_suffix("").as_posix()
                maps.setdefault(name, []).append(path)
        if not maps:
            raise UsageError(
                f"--prompt '{self.path}' holds no depth maps (looked for "
                f"{' '.join(MAP_SUFFIXES)})"
            )
        return maps


@dataclasses.dataclass(frozen=True)
class PromptedEstimator:
    """An estimator whose photos have prompts, as `pipeline.process` takes one."""

    estimator: Any
    prompts: Mapping[Path, Path]
    unit: str

    @property
    def config(self) -> Any:
        """The model."""
        return self.estimator.config

    @property
    def batch_size(self) -> int:
        """Photos of one size that are run together."""
        return self.estimator.batch_size

    def stream(
        self, jobs: Iterable[Any], *, read: Callable[[Any], Any]
    ) -> Generator[tuple[Any, Any]]:
        """Yield every job with its map, or with the exception it raised."""
        # Late: this imports jax, which the help does without.
        from jax_depth.inference.prompted import stream_prompted

        return stream_prompted(
            self.estimator,
            jobs,
            read=read,
            prompt=lambda job: self.prompts[job.photo],
            unit=self.unit,
        )
