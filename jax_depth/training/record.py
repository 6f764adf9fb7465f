"""What a run's folder says about the run, and what changed since it began."""

from collections.abc import Sequence
from pathlib import Path

from jax_depth.data.dataset import Dataset
from jax_depth.training import overrides
from jax_depth.training.recipe import Recipe

RECIPE, DATA = "recipe.json", "data.txt"
# What decides the shape of a state, how many batches a step of it is, and what the
# folder's model predicts.
_FIXED = (
    "model.architecture",
    "model.kind",
    "model.max_depth",
    "model.frozen",
    "model.lora_rank",
    "optimizer.accumulate",
)
_HELD_OUT = "held-out "


def make_folder(workdir: Path) -> None:
    """Make a run's folder.

    Raises:
        OSError: it is a file, or cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot be made ({error.strerror})"
        if workdir.is_file():
            reason = "is a file"
        raise OSError(f"--workdir {workdir} {reason}; give another folder") from None


def described(
    datasets: Sequence[Dataset],
    weights: Sequence[float] | None,
    held_out: Dataset | None,
) -> str:
    """Return the text of `data.txt`."""
    lines = [_line(dataset) for dataset in datasets]
    judged = "none" if held_out is None else _line(held_out)
    return "\n".join([*lines, f"weights {weights}", _HELD_OUT + judged]) + "\n"


def write(workdir: Path, recipe: Recipe, data: str) -> None:
    """Write both files."""
    (workdir / RECIPE).write_text(overrides.to_json(recipe), encoding="utf-8")
    (workdir / DATA).write_text(data, encoding="utf-8")


def changes_since(workdir: Path, recipe: Recipe, data: str) -> list[str]:
    """Return what changed since the run in a folder began, one sentence each.

    Raises:
        ValueError: the folder holds a run of another model, or a broken recipe.
    """
    notes = []
    file, listing = workdir / RECIPE, workdir / DATA
    if file.exists():
        try:
            earlier = overrides.from_json(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{file}: {error}; restore it or give another --workdir"
            ) from None
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
        if before != now:
            notes.append(
                "the data changed since the run began; its order is new from here"
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
    return f"{dataset.text} ({len(dataset)} samples)"


def _parts(text: str) -> tuple[list[str], list[str]]:
    """Return the lines on what is learnt from, and those on what judges."""
    lines = text.splitlines()
    judged = [line for line in lines if line.startswith(_HELD_OUT)]
    return [line for line in lines if line not in judged], judged
