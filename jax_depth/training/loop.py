"""The training loop: from a recipe and data to a folder that `jax_depth.load` takes.

Calling `train` again with the same folder resumes at the last checkpoint: the data
order is a function of (seed, step), augmentation of (seed, position), and all else is
in the checkpoint.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from jax_depth._forked import check_process
from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.data.dataset import Dataset
from jax_depth.data.loader import Loader
from jax_depth.data.registry import open_dataset
from jax_depth.models.flops import forward_flops
from jax_depth.training import mesh as meshes
from jax_depth.training import products, record
from jax_depth.training.checkpoints import (
    check_space,
    export,
    gathered,
)
from jax_depth.training.feed import PseudoLabelled, TrainingRows
from jax_depth.training.first_look import batch_picture, depth_lines
from jax_depth.training.folder_lock import locked
from jax_depth.training.held_out import evaluate_held_out
from jax_depth.training.held_out_steps import replicated
from jax_depth.training.history import (
    HeldOut,
    History,
    TrainingData,
    greatest,
)
from jax_depth.training.hosts import Hosts, together
from jax_depth.training.journal import Journal
from jax_depth.training.losses import Term
from jax_depth.training.recipe import Recipe
from jax_depth.training.recipes import RECIPES, fitted
from jax_depth.training.run import Run
from jax_depth.training.start import model_config
from jax_depth.training.stop import Stop, Stopped
from jax_depth.training.throughput import Throughput
from jax_depth.training.watch import Clock, NotFinite, Profile, Watch, means

__all__ = ["HeldOut", "History", "NotFinite", "Outcome", "TrainingData", "train"]

# Steps the host may run ahead of the device.
_AHEAD = 2
# Seconds an evaluation may go on after a signal; clouds give 30 in all.
_GRACE = 10.0
# The name in 0.1 of what `train` returns.
Outcome = History
# Called with a step and what was logged for it; True asks the run to save and end.
Callback = Callable[[int, dict[str, Any]], Any]


def train(
    recipe: Recipe | str,
    data: TrainingData | Dataset | str | Sequence[Dataset | str],
    workdir: Path | str,
    *,
    loss: Term | Callable | None = None,
    optimizer: optax.GradientTransformation | None = None,
    callbacks: Sequence[Callback] = (),
    judge_only: bool = False,
) -> History:
    """Train until the recipe's last step or SIGTERM; resume if `workdir` has a run.

    Args:
        recipe: the run, or the name of one.
        data: what it learns from and is evaluated on; datasets as `open_dataset` takes
            them are mixed by size.
        workdir: new, or of the same run.
        loss: instead of the recipe's terms: (pred, target, mask) -> scalar, of
            (b, h, w) arrays; `losses.registry` says what else it may ask for.
        optimizer: instead of the recipe's, for parameters by "/"-joined names. A step
            whose gradient is not finite is left out around it.
        callbacks: each called as `callback(step, values)` with what is logged, losses
            as well as held-out metrics; one that returns True ends the run after the
            step, saved. On processes other than the first it sees the same.
        judge_only: take no step; evaluate what is there on every held-out set.

    Returns:
        The lines of the log. Its `steps` are less than the recipe's after SIGTERM,
        Ctrl-C or early stopping.

    Raises:
        ValueError: settings that do not fit each other, the devices or the run in
            `workdir`; unreadable data beyond its limit; no sound checkpoint is left.
        OSError: the folder cannot be made or is in use, or its disk is full.
        NotFinite: `run.skip_limit` steps in a row had no finite gradient.
    """
    check_process()
    recipe = _as_recipe(recipe)
    if loss is not None:
        term = loss if isinstance(loss, Term) else Term(loss)
        settings = dataclasses.replace(recipe.loss, terms=(term,), only_terms=True)
        recipe = dataclasses.replace(recipe, loss=settings)
    recipe, notes = fitted(recipe)
    data, workdir = _as_data(data), Path(workdir)
    config = model_config(recipe)
    with together() as hosts, Stop() as stop:
        mesh = meshes.make_mesh(recipe.run.fsdp)
        _check_batch(recipe, mesh.size)
        record.make_folder(workdir)
        # One process holds the folder for all.
        alone = contextlib.nullcontext() if jax.process_index() else locked(workdir)
        with alone, products.of_run(workdir, config, hosts):
            return _train(
                recipe,
                config,
                mesh,
                data,
                workdir,
                optimizer,
                callbacks,
                judge_only,
                notes,
                hosts,
                stop,
            )


def _train(
    recipe: Recipe,
    config: ModelConfig,
    mesh: Mesh,
    data: TrainingData,
    workdir: Path,
    optimizer: optax.GradientTransformation | None,
    callbacks: Sequence[Callback],
    judge_only: bool,
    notes: list[str],
    hosts: Hosts,
    stop: Stop,
) -> History:
    active = jax.process_index() == 0
    described = record.described(data.datasets, data.weights, data.judges())
    notes = notes + record.changes_since(workdir, recipe, described)
    kinds = {isinstance(d, PseudoLabelled) for d in data.datasets}
    kinds = tuple(("labelled", "pseudo")[kind] for kind in sorted(kinds))
    try:
        run = stop.patiently(
            Run, recipe, config, mesh, workdir, kinds, data.judges(), optimizer
        )
    except Stopped:
        history = History([], record.steps_in(workdir, recipe))
        history.abandoned = True
        return _ended(history, stop)
    first = int(run.state.step) // recipe.optimizer.accumulate
    steps = recipe.run.steps
    journal = Journal(workdir, first, steps, active, callbacks, stop.request)
    loader = Loader(
        data.datasets,
        TrainingRows(recipe),
        batch_size=recipe.data.batch // recipe.optimizer.accumulate,
        seed=recipe.run.seed,
        weights=data.weights,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=_threads(recipe),
        workers=recipe.data.workers,
        ahead=recipe.data.prefetch,
        unreadable_limit=recipe.data.unreadable_limit,
        report=journal.say if active else hosts.tell,
    )
    for note in [*notes, *run.notes]:
        journal.say(note)
    done, early, abandoned = first, False, False
    try:
        if judge_only:
            _judge(run, journal, first, run.judges)
        elif first < steps:
            if active:
                if not first:
                    check_space(workdir, run.state)
                record.write(workdir, recipe, described, first)
                for sentence, values in depth_lines(recipe, data.datasets):
                    journal.say(sentence, **values)
            done, early = _steps(run, loader, journal, first, stop, hosts)
    except Stopped as stopped:
        done, abandoned = stopped.step or first, True
        doing = "evaluating, saved" if stopped.step else "compiling"
        journal.say(f"stopped at step {done} of {steps}, while {doing}")
    finally:
        try:
            run.checkpoints.close()
        finally:
            journal.close()
    history = History(journal.lines, done)
    history.early, history.abandoned = early, abandoned
    return _ended(history, stop)


def _ended(history: History, stop: Stop) -> History:
    history.interrupted = stop.signal == signal.SIGINT
    return history


def _as_recipe(recipe: Any) -> Recipe:
    """Return a recipe, which may be given by its name."""
    found = RECIPES.get(recipe) if isinstance(recipe, str) else recipe
    if not isinstance(found, Recipe):
        raise ValueError(
            f"{recipe!r:.80} is not a recipe; give one, or a name: {', '.join(RECIPES)}"
        )
    return found


def _as_data(data: Any) -> TrainingData:
    """Return data in any of the forms that `train` takes."""
    if isinstance(data, TrainingData):
        return data
    given = [data] if isinstance(data, Dataset | str) else data
    for one in given if isinstance(given, Sequence) else [given]:
        if not isinstance(one, Dataset | str):
            raise ValueError(
                f"{one!r:.80} is not data to train on; give TrainingData, a dataset, "
                "name:path, or a list of those"
            )
    opened = [open_dataset(d) if isinstance(d, str) else d for d in given]
    return TrainingData(opened)


def _save(
    run: Run, due: list[HeldOut], journal: Journal, step: int, stop: Stop
) -> None:
    """Save a checkpoint, evaluated first on the sets that are due.

    Raises:
        Stopped: a signal came during the evaluation; it is saved without it.
    """
    better, metrics = run.best is None, {}
    best = run.recipe.run.best
    averaged = None
    if due:
        averaged = gathered(run.state)
        judge = functools.partial(_judged, run, averaged, journal, step, due)
        if step == run.recipe.run.steps:  # after which nothing would evaluate it
            metrics = judge()
        else:
            try:
                metrics = stop.patiently(judge, grace=_GRACE)
            except Stopped:
                run.checkpoints.save(run.state)
                run.checkpoints.wait()
                raise Stopped(step) from None
        if best in metrics:
            value = metrics[best]
            run.patience.judge(value)
            better = run.best is None or (
                value > run.best if greatest(best) else value < run.best
            )
            run.best = value if better else run.best
    run.checkpoints.save(run.state, metrics or None)
    # What is not written is not fetched from the devices of other hosts.
    if better:
        averaged = averaged or gathered(run.state, keep=jax.process_index() == 0)
        if jax.process_index() == 0:
            export(run.workdir, averaged, run.config)


def _judge(run: Run, journal: Journal, step: int, due: list[HeldOut]) -> None:
    """Evaluate the state as it is on some sets.

    Raises:
        ValueError: `run.best` is not one of the metrics.
    """
    if not due:
        return
    found = _judged(run, gathered(run.state), journal, step, due)
    best = run.recipe.run.best
    # Where not a single picture could be evaluated there are only counts.
    if best not in found and len(found) > 2 * len(due) + 2:
        raise ValueError(f"run.best={best!r} must be one of {', '.join(sorted(found))}")


def _judged(
    run: Run, params: Params, journal: Journal, step: int, due: list[HeldOut]
) -> dict[str, float | int]:
    """Evaluate parameters, log the result and return it by `run.best`'s names."""
    settings, data = run.recipe.run, run.recipe.data
    found: dict[str, float | int] = {}
    # Those of this process: each evaluates its share.
    devices = list(run.mesh.local_devices)
    params = replicated(params, devices)
    for judge in due:
        metrics, pictures = evaluate_held_out(
            params,
            run.config,
            judge.dataset,
            settings.evaluate_images,
            data.size,
            data.min_depth,
            journal.say,
            data.prompt,
            devices,
        )
        logged = {f"held_out/{judge.prefix}{k}": v for k, v in metrics.items()}
        journal.write(step, logged | {"time": time.time()})
        journal.pictures(step, pictures, f"held_out/{judge.prefix}")
        found |= {f"{judge.prefix}{k}": v for k, v in metrics.items()}
        if judge is run.judges[0]:  # by its plain names too
            found |= metrics
    return found


def _steps(
    run: Run, loader: Loader, journal: Journal, first: int, stop: Stop, hosts: Hosts
) -> tuple[int, bool]:
    """Run from step `first`; return the steps done, and whether that was early."""
    recipe = run.recipe
    settings, parts = recipe.run, recipe.optimizer.accumulate
    flops = 3 * forward_flops(run.config, recipe.data.size, recipe.data.size)
    throughput = Throughput(recipe.data.batch, flops)
    pending: collections.deque = collections.deque()
    watch = Watch(settings.skip_limit)
    batches: Iterator = loader.batches(first * parts)
    window: list[dict[str, float]] = []
    pictures = sum(len(dataset) for dataset in loader.datasets)
    clock, profile = Clock(settings.save_minutes), Profile(run.workdir, settings)
    done = first
    if not first:
        # What the run starts from, to compare with.
        stop.patiently(_judge, run, journal, 0, run.judges)
    while done < settings.steps:
        if run.patience.over:
            journal.say(
                f"ended early at step {done} of {settings.steps}: {settings.best} was "
                f"not better in {settings.patience} evaluations"
            )
            return done, True
        profile.before(done + 1)
        for _ in range(parts):
            with throughput.waiting():
                batch = next(batches)
            if not pending and not window and done == first:
                journal.first_batch(batch_picture(batch.arrays), first)
                taken = stop.patiently(run.step, batch.arrays)
            else:
                taken = run.step(batch.arrays)
            pending.append((taken, batch.names))
            while len(pending) > _AHEAD:
                window.append(watch.settle(*pending.popleft()))
        done += 1
        profile.after(done, run.state)
        journal.advance()
        log = done % settings.log_every == 0
        if log:
            window += watch.settled(pending)
            values = means(window) | throughput.since_last(settings.log_every)
            values |= watch.counts(loader, hosts) | run.rates(done - 1)
            values |= _pace(values, recipe, done, pictures)
            for sentence in hosts.told():
                journal.say(sentence)
            journal.write(done, values)
            window = []
        last = done == settings.steps
        stopped = stop.asked(done)
        due = [j for j in run.judges if last or done % _every(j, settings) == 0]
        save = bool(due) or last or stopped or done % settings.save_every == 0
        save = save or done % settings.evaluate_every == 0
        save = clock.due(save, log, hosts) or save
        if save:
            window += watch.settled(pending)
            with throughput.paused():
                _save(run, due, journal, done, stop)
        if stopped:
            run.checkpoints.wait()
            journal.say(f"stopped at step {done} of {settings.steps}, saved")
            break
    profile.end()
    return done, False


def _pace(
    values: dict[str, float], recipe: Recipe, done: int, pictures: int
) -> dict[str, float]:
    """Return time, epochs, and an estimate of the time left, if any."""
    found = {"time": time.time(), "epoch": done * recipe.data.batch / pictures}
    rate = values.get("images_per_second_per_device")
    if rate:
        speed = rate * jax.device_count()
        left = (recipe.run.steps - done) * recipe.data.batch / speed
        found |= {"images_per_second": speed, "seconds_left": left}
    return found


def _every(judge: HeldOut, settings: Any) -> int:
    return judge.every or settings.evaluate_every


def _threads(recipe: Recipe) -> int:
    """Return how many threads read and augment."""
    if recipe.data.threads is not None:
        return recipe.data.threads
    return 1 if recipe.data.workers else os.cpu_count() or 1


def _check_batch(recipe: Recipe, devices: int) -> None:
    rows = recipe.data.batch // recipe.optimizer.accumulate
    if rows % devices:
        raise ValueError(
            f"a batch of {rows} pictures (data.batch / optimizer.accumulate) does not "
            f"divide among {devices} devices; make it a multiple"
        )
