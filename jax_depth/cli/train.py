"""`jax-depth train`: train, fine-tune or distil by a named recipe."""

import argparse
from pathlib import Path
from typing import Any

from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import INTERRUPTED, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="v1-teacher, v1-student, v2-teacher, v2-student, metric-indoor, "
        "metric-outdoor, finetune, finetune-relative, tiny, smoke, or the recipe.json "
        "of a run",
    )
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        type=Path,
        help="where checkpoints, log and model go; a run that is there goes on",
    )
    parser.add_argument(
        "--data",
        metavar="FORMAT:PATH",
        action="append",
        default=[],
        help="pictures with depth, mixed where there are several, by size or by "
        "?weight=W after each path; smoke draws its own",
    )
    parser.add_argument(
        "--pseudo",
        metavar="FORMAT:PATH",
        action="append",
        default=[],
        help="pictures with pseudo-labels, from `jax-depth label`",
    )
    parser.add_argument(
        "--held-out",
        metavar="FORMAT:PATH",
        help="pictures with depth to judge by while training; the best model is kept",
    )
    parser.add_argument(
        "--init",
        metavar="MODEL",
        help="start from a name that `jax-depth models` lists, a model directory or a "
        "weight file (short for --set model.init=MODEL)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a setting of the recipe: --set optimizer.learning_rate=1e-5",
    )
    parser.add_argument(
        "--show",
        action="store_true",
        help="print every setting with its source, and train nothing",
    )
    add_json_argument(parser)
    hosts = parser.add_argument_group(
        "several hosts", "on each host the same command; see docs/multi-host.md"
    )
    hosts.add_argument(
        "--distributed",
        action="store_true",
        help="find the other hosts by oneself, on TPU pods and under SLURM",
    )
    hosts.add_argument(
        "--coordinator", metavar="HOST:PORT", help="of the first process"
    )
    hosts.add_argument("--processes", metavar="N", type=int, help="how many there are")
    hosts.add_argument("--process", metavar="I", type=int, help="this one, from 0")


def run(args: argparse.Namespace) -> int:
    """Train and return the exit code: 0 also after SIGTERM, when all is saved."""
    try:
        import grain  # noqa: F401
        import optax  # noqa: F401
        import orbax.checkpoint  # noqa: F401
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"training needs {error.name}: pip install 'jax_depth[train]'"
        ) from None
    recipe = _recipe(args)
    if args.show:
        _show(args, recipe)
        return 0
    if args.workdir is None:
        raise UsageError("--workdir says where the run goes; give a folder")
    _connect(args)
    import jax

    from jax_depth.cli.compilation_cache import use_compilation_cache
    from jax_depth.inference.memory import keep_freed_memory
    from jax_depth.training.loop import train

    # On CPU only the process that writes the cache finds anything in it, and gloo waits
    # half a minute for the others, which compile.
    if jax.process_count() == 1 or jax.default_backend() != "cpu":
        use_compilation_cache()
    keep_freed_memory()
    outcome = train(recipe, _data(args, recipe), args.workdir)
    done, total = outcome.steps, recipe.run.steps
    if done < total:
        text = f"{args.workdir}: {done} of {total} steps; the same command goes on"
    else:
        text = f"{args.workdir}: {done} steps; jax-depth predict --model {args.workdir}"
    if jax.process_index() == 0:
        document = {"workdir": str(args.workdir), "steps": done, "of": total}
        conclude(args, document, text)
    return INTERRUPTED if outcome.interrupted and done < total else 0


def _recipe(args: argparse.Namespace) -> Any:
    """Return the named recipe with the changes asked for."""
    from jax_depth.training import overrides

    changes = [f"model.init={args.init}"] if args.init else []
    try:
        return overrides.override(_named(args), changes + args.set)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _named(args: argparse.Namespace) -> Any:
    """Return the recipe of that name or in that file."""
    import difflib

    from jax_depth.training import overrides
    from jax_depth.training.recipes import RECIPES

    if args.recipe in RECIPES:
        return RECIPES[args.recipe]
    if Path(args.recipe).is_file():
        try:
            return overrides.from_json(Path(args.recipe).read_text("utf-8"))
        except ValueError as error:
            raise UsageError(f"{args.recipe}: {error}") from None
    near = difflib.get_close_matches(args.recipe, RECIPES, 1, 0.0)[0]
    raise UsageError(
        f"no recipe and no file is called {args.recipe!r}; did you mean {near!r}? "
        f"There are {', '.join(RECIPES)}"
    )


def _show(args: argparse.Namespace, recipe: Any) -> None:
    from jax_depth.training.overrides import differences
    from jax_depth.training.recipe import leaves
    from jax_depth.training.recipes import sources

    origin = sources(recipe)
    for key in differences(_named(args), recipe):
        short = args.init and key == "model.init"
        origin[key] = f"changed by {'--init' if short else '--set'}"
    settings = leaves(recipe)
    document = {
        key: {"value": value, "source": origin[key]} for key, value in settings.items()
    }
    lines = [f"{key} = {value!r}  # {origin[key]}" for key, value in settings.items()]
    conclude(args, document, "\n".join(lines))


def _data(args: argparse.Namespace, recipe: Any) -> Any:
    """Open what the command line names."""
    from jax_depth.data import open_dataset, open_mixture
    from jax_depth.training.feed import PseudoLabelled
    from jax_depth.training.loop import TrainingData
    from jax_depth.training.shapes import Shapes

    _check_pseudo(recipe, bool(args.pseudo))
    held_out = open_dataset(args.held_out) if args.held_out else None
    if held_out is not None:
        _check_labelled(held_out)
    if not args.data and not args.pseudo:
        if recipe.name != "smoke":
            raise UsageError("there is nothing to train on; give --data FORMAT:PATH")
        return TrainingData([Shapes()], None, held_out or Shapes("heldout"))
    labelled, shares = open_mixture(args.data)
    opened, others = open_mixture(args.pseudo)
    for dataset in (*labelled, *opened):
        _check_labelled(dataset)
    pseudo = [PseudoLabelled(dataset) for dataset in opened]
    weights = shares or others
    if labelled and pseudo:
        share = recipe.data.pseudo_share
        if not 0 < share < 1:
            raise UsageError(
                f"data.pseudo_share={share} leaves no room for one of --data and "
                "--pseudo; set it between 0 and 1"
            )
        weights = [
            *_shares(labelled, shares, 1 - share),
            *_shares(pseudo, others, share),
        ]
    return TrainingData([*labelled, *pseudo], weights, held_out)


def _check_labelled(dataset: Any) -> None:
    if dataset.title == "unlabelled":
        raise UsageError(
            f"{dataset.text}: its pictures have no depth; label them first: jax-depth "
            f"label {dataset.root} -o LABELS, then --pseudo labels:LABELS"
        )


def _check_pseudo(recipe: Any, given: bool) -> None:
    """Refuse terms that act on pseudo-labelled pictures where there are none."""
    for name in ("feature", "cutmix"):
        if getattr(recipe.loss, name) and not given:
            raise UsageError(
                f"loss.{name}={getattr(recipe.loss, name):g} acts on pseudo-labelled "
                "pictures, and there are none; give --pseudo labels:DIR, or --set "
                f"loss.{name}=0"
            )


def _shares(datasets: list, weights: list[float] | None, part: float) -> list[float]:
    """Return weights, by size where there are none, that sum to `part`."""
    weights = weights or [float(len(dataset)) for dataset in datasets]
    return [part * weight / sum(weights) for weight in weights]


def _connect(args: argparse.Namespace) -> None:
    """Join the other processes, if there are any."""
    given = (args.coordinator, args.processes, args.process)
    if not args.distributed and all(value is None for value in given):
        return
    if any(value is not None for value in given) and None in given:
        raise UsageError("--coordinator, --processes and --process go together")
    import jax

    try:
        jax.distributed.initialize(*given)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"the processes could not meet: {error}") from None
