"""What a run's folder says about the run, and what changed since it began."""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from jax_depth.data.dataset import Dataset
from jax_depth.data.registry import DATASETS
from jax_depth.formats.address import local
from jax_depth.formats.atomic import atomic
from jax_depth.training import overrides
from jax_depth.training.history import HeldOut, TrainingData
from jax_depth.training.recipe import Recipe
from jax_depth.training.recipes import fitted

RECIPE, DATA = "recipe.json", "data.txt"
_KEPT = "recipe-{}.json"
# What decides the shape of a state, how many batches make a step, and what the folder's
# model predicts.
_FIXED = (
    "model.architecture",
    "model.kind",
    "model.max_depth",
    "model.frozen",
    "model.lora_rank",
    "optimizer.accumulate",
)
# Settings that change no number of a run.
_HARMLESS = {
    "data.threads",
    "data.workers",
    "data.prefetch",
    "run.log_every",
    "run.profile",
}
_HELD_OUT = "held-out "


class FolderError(OSError):
    """A run's folder is none, or cannot be made."""


def make_folder(workdir: Path) -> None:
    """Make a run's folder.

    Raises:
        FolderError: it is a file, or cannot be made.
        ValueError: it is an address of an object store.
    """
    local(workdir, "--workdir")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot be made ({error.strerror})"
        if workdir.is_file():
            reason = "is a file"
        raise FolderError(
            f"--workdir {workdir} {reason}; give another folder"
        ) from None


def described(
    datasets: Sequence[Dataset],
    weights: Sequence[float] | None,
    held_out: Dataset | Sequence[HeldOut] | None,
) -> str:
    """Return the text of `data.txt`."""
    lines = [_line(dataset) for dataset in datasets]
    judges = TrainingData([], None, held_out).judges()
    judged = [_HELD_OUT + _judge(judge) for judge in judges] or [_HELD_OUT + "none"]
    return "\n".join([*lines, f"weights {weights}", *judged]) + "\n"


def _judge(judge: HeldOut) -> str:
    name = f"{judge.name}=" if judge.name else ""
    every = f", every {judge.every} steps" if judge.every else ""
    return name + _line(judge.dataset).removesuffix(")") + every + ")"


def write(workdir: Path, recipe: Recipe, data: str, first: int = 0) -> None:
    """Write what is in force from a step on, each file whole or not at all.

    `recipe.json` is the newest; every one that has been in force is kept as
    `recipe-STEP.json`, STEP being the first it applied to.

    Args:
        workdir: of the run.
        recipe: of the steps that follow.
        data: see `described`.
        first: steps taken so far. What is kept from later ones, which are taken again,
            is removed.
    """
    text = overrides.to_json(recipe)
    _write(workdir / DATA, data)
    kept = history(workdir)
    for step in [step for step in kept if step >= first]:
        if kept.pop(step) != text or step > first:
            (workdir / _KEPT.format(step)).unlink()
    if not kept and first and (workdir / RECIPE).exists():
        # From a version that kept none.
        before = (workdir / RECIPE).read_text(encoding="utf-8")
        _write(workdir / _KEPT.format(0), before)
        kept[0] = before
    if not kept or kept[max(kept)] != text:
        _write(workdir / _KEPT.format(first), text)
    _write(workdir / RECIPE, text)


def history(workdir: Path) -> dict[int, str]:
    """Return first step -> text of every recipe that was in force."""
    found = {int(p.stem[7:]): p for p in workdir.glob("recipe-*.json") if _is_kept(p)}
    return {step: found[step].read_text(encoding="utf-8") for step in sorted(found)}


def recipe_in(workdir: Path) -> Recipe:
    """Return the recipe of the run in a folder.

    Raises:
        ValueError: there is none, or it is broken; the message names the file.
    """
    file = workdir / RECIPE
    try:
        return overrides.from_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{workdir} holds no run: {file} does not exist") from None
    except ValueError as error:
        raise ValueError(
            f"{file}: {error}; restore it or give another --workdir"
        ) from None


@dataclasses.dataclass(frozen=True)
class Sources:
    """What a command line was given, read back from `data.txt`.

    Attributes:
        data, pseudo, held_out: texts as `open_dataset` takes them, with options.
    """

    data: list[str]
    pseudo: list[str]
    held_out: list[str]


def sources_in(workdir: Path) -> Sources:
    """Return the data of the run in a folder.

    Raises:
        ValueError: nothing is known about them.
    """
    try:
        lines = (workdir / DATA).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ValueError(
            f"{workdir / DATA} does not exist; give --data and --held-out again"
        ) from None
    found = Sources([], [], [])
    for line in lines:
        text = line.rpartition(" (")[0]
        bare = text.removeprefix(_HELD_OUT).removeprefix("pseudo ")
        name = bare.partition(":")[0].rpartition("=")[2]
        if name not in DATASETS:  # weights, or what was made in Python
            continue
        if text.startswith(_HELD_OUT):
            text = text.removeprefix(_HELD_OUT)
            if every := re.search(r", every (\d+) steps\)$", line):
                text += f"{'&' if '?' in text else '?'}every={every[1]}"
            found.held_out.append(text)
        elif text.startswith("pseudo "):
            found.pseudo.append(text.removeprefix("pseudo "))
        else:
            found.data.append(text)
    return found


def steps_in(workdir: Path, recipe: Recipe) -> int:
    """Return the steps of the newest checkpoint in a folder, 0 without any."""
    folder = workdir / "checkpoints"
    numbers = [int(p.name) for p in folder.glob("*") if p.name.isdecimal()]
    return max(numbers, default=0) // recipe.optimizer.accumulate


def unsaid(workdir: Path, recipe: Recipe, said: set[str]) -> dict[str, tuple]:
    """Return key -> (in the folder, now) of settings that differ without being given.

    Args:
        workdir: of a run; a folder without one gives no differences.
        recipe: to go on with.
        said: keys that were given explicitly.
    """
    if not (workdir / RECIPE).exists():
        return {}
    earlier = recipe_in(workdir)
    if earlier.name != recipe.name:
        said = said | {"name"}
    changes = overrides.differences(fitted(earlier)[0], fitted(recipe)[0])
    said = said | _HARMLESS
    if "run.steps" in said:
        said = said | {"optimizer.warmup"}  # it follows
    return {key: pair for key, pair in changes.items() if key not in said}


def changes_since(workdir: Path, recipe: Recipe, data: str) -> list[str]:
    """Return what changed since the run in a folder began, one sentence each.

    Raises:
        ValueError: the folder holds a run of another model, or a broken recipe.
    """
    notes = []
    file, listing = workdir / RECIPE, workdir / DATA
    if file.exists():
        earlier = recipe_in(workdir)
        changes = overrides.differences(earlier, recipe)
        fixed = [k for k in changes if k in _FIXED]
        if fixed:
            old, new = changes[fixed[0]]
            raise ValueError(
                f"{workdir} holds a run with {fixed[0]}={old!r}, not {new!r}; give "
                "another --workdir"
            )
        notes += [f"{k} was {old!r}, is {new!r}" for k, (old, new) in changes.items()]
    if listing.exists():
        before, judged_before = _parts(listing.read_text(encoding="utf-8"))
        now, judged = _parts(data)
        # Earlier versions wrote paths as they were given.
        before, judged_before = map(_absolute_lines, (before, judged_before))
        if before != now:
            notes.append(
                "the data changed since the run began; its order starts afresh here"
            )
        # Earlier versions did not write it.
        if judged_before and judged_before != judged:
            notes.append(
                "the held-out pictures changed since the run began; the best model is "
                "chosen by metrics of both"
            )
    return notes


def _line(dataset: Dataset) -> str:
    if dataset.text is None:
        return repr(dataset)
    return f"{_absolute(dataset.text)} ({len(dataset)} samples)"


def _absolute(text: str) -> str:
    """Return "format:path?options" with a path that holds from any folder."""
    prefix = "pseudo " if text.startswith("pseudo ") else ""
    name, _, rest = text.removeprefix(prefix).partition(":")
    path, question, options = rest.partition("?")
    return f"{prefix}{name}:{os.path.abspath(path)}{question}{options}"


def _absolute_lines(lines: list[str]) -> list[str]:
    found = []
    for line in lines:
        prefix = _HELD_OUT if line.startswith(_HELD_OUT) else ""
        text, bracket, size = line.removeprefix(prefix).rpartition(" (")
        known = text.removeprefix("pseudo ").partition(":")[0] in DATASETS
        if known:
            line = prefix + _absolute(text) + bracket + size
        found.append(line)
    return found


def _is_kept(path: Path) -> bool:
    return path.stem[7:].isdecimal()


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _parts(text: str) -> tuple[list[str], list[str]]:
    """Return the lines on training data, and those on held-out data."""
    lines = text.splitlines()
    judged = [line for line in lines if line.startswith(_HELD_OUT)]
    return [line for line in lines if line not in judged], judged
