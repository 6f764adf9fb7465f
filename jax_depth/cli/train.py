"""`jax-depth train`: train, fine-tune or distil by a named recipe."""

import argparse
import atexit
import re
from pathlib import Path
from typing import Any

from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import INTERRUPTED, STOPPED, UsageError, end_now


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?",
        help="v1-teacher, v1-student, v2-teacher, v2-student, metric-indoor, "
        "metric-outdoor, finetune, finetune-relative, prompt-finetune, tiny, smoke, or "
        "the recipe.json of a run",
    )
    parser.add_argument(
        "--resume",
        metavar="DIR",
        type=Path,
        help="continue the run in a folder with its own recipe, data and held-out "
        "pictures, except for what --set, --data, --pseudo and --held-out change",
    )
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        type=Path,
        help="where checkpoints, log and model go; a run found there is continued",
    )
    parser.add_argument(
        "--data",
        metavar="FORMAT:PATH",
        action="append",
        default=[],
        help="pictures with depth; several are mixed in proportion to their size"
        " or to ?weight=W after each path; the recipe smoke renders its own",
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
        metavar="[NAME=]FORMAT:PATH",
        action="append",
        default=[],
        help="pictures with depth to evaluate on while training, any number of sets, "
        "each every run.evaluate_every steps or ?every=N; the best model on the first "
        "set is kept (run.best)",
    )
    parser.add_argument(
        "--eval-only",
        action="store_true",
        help="evaluate the newest checkpoint on the held-out sets without training",
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
        help="print every setting with its source without training",
    )
    add_json_argument(parser)
    hosts = parser.add_argument_group(
        "several hosts", "run the same command on each host; see docs/multi-host.md"
    )
    hosts.add_argument(
        "--distributed",
        action="store_true",
        help="find the other hosts automatically, on TPU pods and under SLURM",
    )
    hosts.add_argument(
        "--coordinator", metavar="HOST:PORT", help="address of the first process"
    )
    hosts.add_argument("--processes", metavar="N", type=int, help="number of processes")
    hosts.add_argument(
        "--process", metavar="I", type=int, help="index of this process, from 0"
    )


def run(args: argparse.Namespace) -> int:
    """Train and return the exit code: 0 all steps, 75 stopped before, 130 Ctrl-C."""
    try:
        import grain  # noqa: F401
        import optax  # noqa: F401
        import orbax.checkpoint  # noqa: F401
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"training needs {error.name}: pip install 'jax_depth[train]'"
        ) from None
    _take_from_folder(args)
    recipe = _recipe(args)
    if args.show:
        _show(args, recipe)
        return 0
    _check_folder(args, recipe)
    _connect(args)
    import jax

    from jax_depth.cli.compilation_cache import use_compilation_cache
    from jax_depth.data.loader import TooManyUnreadable
    from jax_depth.inference.memory import keep_freed_memory
    from jax_depth.training.loop import train
    from jax_depth.training.record import FolderError

    # On CPU only the process that writes the cache finds anything in it, and gloo waits
    # half a minute for the others, which compile.
    if jax.process_count() == 1 or jax.default_backend() != "cpu":
        use_compilation_cache()
    keep_freed_memory()
    try:
        data = _data(args, recipe)
        if args.eval_only and not data.judges():
            raise UsageError("--eval-only needs data to evaluate on; give --held-out")
        history = train(recipe, data, args.workdir, judge_only=args.eval_only)
    except TooManyUnreadable:  # of a store that may be back when it is tried again
        raise
    except (ValueError, FolderError) as error:
        raise UsageError(str(error)) from None
    return _conclude(args, recipe, history)


def _conclude(args: argparse.Namespace, recipe: Any, history: Any) -> int:
    """Say how far the run came and return the exit code."""
    import jax

    done, total = history.steps, recipe.run.steps
    over = done >= total or history.early or args.eval_only
    document = {"workdir": str(args.workdir), "steps": done, "of": total}
    if args.eval_only:
        judged = {
            key.removeprefix("held_out/"): value
            for line in history
            for key, value in line.items()
            if key.startswith("held_out/")
        }
        document["held_out"] = judged
        text = "\n".join(f"{key} {value:.4g}" for key, value in judged.items())
    elif over:
        text = f"{args.workdir}: {done} steps; jax-depth predict --model {args.workdir}"
    else:
        text = (
            f"{args.workdir}: {done} of {total} steps; jax-depth train --resume "
            f"{args.workdir} continues it"
        )
    if jax.process_index() == 0:
        conclude(args, document, text)
    code = 0 if over else INTERRUPTED if history.interrupted else STOPPED
    if history.abandoned:
        # XLA would come back from its compilation into an interpreter that is gone.
        atexit.register(end_now, code)
    return code


def _take_from_folder(args: argparse.Namespace) -> None:
    """Fill in what --resume leaves to the folder."""
    from jax_depth.training import record

    if args.resume is None:
        if args.recipe is None:
            raise UsageError(
                "name a recipe, as in `jax-depth train finetune`, or a run to "
                "continue: --resume DIR"
            )
        return
    if args.recipe is not None or args.workdir is not None:
        raise UsageError(
            "--resume takes recipe and folder of the run; leave RECIPE and --workdir "
            "out, and change settings with --set"
        )
    args.workdir = args.resume
    if not (args.workdir / record.RECIPE).is_file():
        raise UsageError(
            f"--resume {args.workdir}: it holds no run, {record.RECIPE} is missing; "
            "start one with `jax-depth train RECIPE --workdir DIR`"
        )
    args.recipe = str(args.workdir / record.RECIPE)
    given = (args.data, args.pseudo, args.held_out)
    if all(given):
        return
    try:
        sources = record.sources_in(args.workdir)
    except ValueError as error:
        raise UsageError(str(error)) from None
    args.data = args.data or sources.data
    args.pseudo = args.pseudo or sources.pseudo
    args.held_out = args.held_out or sources.held_out


def _check_folder(args: argparse.Namespace, recipe: Any) -> None:
    """Refuse what would be noticed late, or never."""
    from jax_depth.training import record
    from jax_depth.training.optimizer import schedule
    from jax_depth.training.recipes import fitted
    from jax_depth.training.start import model_config

    if args.workdir is None:
        raise UsageError("--workdir says where the run goes; give a folder")
    # Before the folder is made.
    _local(recipe.model.init, "model.init (--init)")
    _local(recipe.loss.feature_reference, "loss.feature_reference")
    settings = fitted(recipe)[0].optimizer
    rates = settings.learning_rate, recipe.run.steps, settings.warmup
    try:
        model_config(recipe)
        schedule(*rates, settings.cooldown or None, settings.schedule)
        forgotten = record.unsaid(args.workdir, recipe, _said(args))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if args.eval_only and not record.steps_in(args.workdir, recipe):
        raise UsageError(f"{args.workdir} holds no checkpoint to evaluate; train first")
    if forgotten:
        key, (old, new) = next(iter(forgotten.items()))
        more = f" and {len(forgotten) - 1} more" if len(forgotten) > 1 else ""
        raise UsageError(
            f"{args.workdir} holds a run with {key}={old!r}, this command has {new!r}"
            f"{more}; continue with its own by `jax-depth train --resume "
            f"{args.workdir}`, state the change with --set {key}={new}, or give "
            "another --workdir"
        )


def _local(path: Path | str, what: str) -> Path:
    """Return a path; an address is wrong usage."""
    from jax_depth.formats.address import local

    try:
        return local(path, what)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _said(args: argparse.Namespace) -> set[str]:
    """Return the keys of settings that the command line gives."""
    said = {text.partition("=")[0].strip() for text in args.set}
    return said | ({"model.init", "model.architecture"} if args.init else set())


def _recipe(args: argparse.Namespace) -> Any:
    """Return the named recipe with the changes asked for."""
    from jax_depth.training import overrides
    from jax_depth.training.start import architecture_of

    changes = [f"model.init={args.init}"] if args.init else []
    try:
        recipe = overrides.override(_named(args), changes + args.set)
        if recipe.model.init and "model.architecture" not in _said(args) - (
            {"model.architecture"} if args.init else set()
        ):
            name = recipe.model.architecture
            taken = architecture_of(recipe.model.init, name)
            if taken != name and recipe.model.init_parts == "all":
                recipe = overrides.override(recipe, [f"model.architecture={taken}"])
    except ValueError as error:
        raise UsageError(str(error)) from None
    warmup, steps = recipe.optimizer.warmup, recipe.run.steps
    if "optimizer.warmup" in _said(args) and warmup >= steps:
        raise UsageError(
            f"optimizer.warmup={warmup} is not shorter than the run, run.steps="
            f"{steps}: the rate would end below its peak; set it to {steps // 10}, a "
            "tenth of the run, or train longer"
        )
    return recipe


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
        f"no recipe or file is called {args.recipe!r}; did you mean {near!r}? "
        f"There are {', '.join(RECIPES)}"
    )


def _show(args: argparse.Namespace, recipe: Any) -> None:
    from jax_depth.training.overrides import differences
    from jax_depth.training.recipe import leaves
    from jax_depth.training.recipes import fitted, sources

    recipe, notes = fitted(recipe)
    origin = sources(recipe)
    for key in differences(_named(args), recipe):
        short = args.init and key in ("model.init", "model.architecture")
        origin[key] = f"changed by {'--init' if short else '--set'}"
        if notes and key == "optimizer.warmup":
            origin[key] = notes[0]
    settings = leaves(recipe)
    document = {
        key: {"value": value, "source": origin[key]} for key, value in settings.items()
    }
    lines = [f"{key} = {value!r}  # {origin[key]}" for key, value in settings.items()]
    conclude(args, document, "\n".join(lines))


def _data(args: argparse.Namespace, recipe: Any) -> Any:
    """Open what the command line names."""
    from jax_depth.data import open_mixture
    from jax_depth.training.feed import PseudoLabelled
    from jax_depth.training.history import HeldOut, TrainingData
    from jax_depth.training.shapes import Shapes

    _check_pseudo(recipe, bool(args.pseudo))
    for text in (*args.data, *args.pseudo, *args.held_out):
        path = text.partition(":")[2]
        _local(path, text.partition(":")[0])
    held_out = [_judge(text) for text in args.held_out]
    names = [judge.name for judge in held_out]
    if len(set(names)) < len(names):
        raise UsageError(
            "several --held-out need names of their own, as in "
            "--held-out indoor=pairs:own.csv"
        )
    for judge in held_out:
        _check_labelled(judge.dataset)
    if not args.data and not args.pseudo:
        if recipe.name != "smoke":
            raise UsageError("there is nothing to train on; give --data FORMAT:PATH")
        return TrainingData([Shapes()], None, held_out or [HeldOut(Shapes("heldout"))])
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


def _judge(text: str) -> Any:
    """Open a held-out set: [NAME=]FORMAT:PATH, with every=N among its options."""
    from jax_depth.data import open_dataset
    from jax_depth.training.history import HeldOut

    name, _, rest = text.partition("=")
    if not re.fullmatch(r"[\w.-]+", name) or ":" not in rest:
        name, rest = "", text
    path, question, query = rest.partition("?")
    options = query.split("&") if question else []
    every = [option for option in options if option.startswith("every=")]
    words = [option for option in options if option not in every]
    number = every[0].removeprefix("every=") if every else "0"
    if every and not (number.isdecimal() and int(number)):
        raise UsageError(f"--held-out {text}: every={number} is not a number of steps")
    dataset = open_dataset(path + (f"?{'&'.join(words)}" if words else ""))
    return HeldOut(dataset, name, int(number))


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
        raise UsageError(f"the processes could not connect: {error}") from None
