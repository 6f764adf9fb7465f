"""The training loop: from a recipe and data to a folder that `jax_depth.load` takes.

Calling `train` again with the same folder goes on where the last checkpoint is: the
data order is a function of (seed, step), augmentation of (seed, position), and all
else is in the checkpoint.
"""

import collections
import dataclasses
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.data.dataset import Dataset
from jax_depth.data.loader import Loader
from jax_depth.models.flops import forward_flops
from jax_depth.training import mesh as meshes
from jax_depth.training import objectives, record
from jax_depth.training.checkpoints import METRIC, Checkpoints, export, on_host
from jax_depth.training.feed import PseudoLabelled, Rows
from jax_depth.training.held_out import evaluate_held_out
from jax_depth.training.journal import Journal
from jax_depth.training.optimizer import from_settings
from jax_depth.training.recipe import Recipe, frozen_prefixes
from jax_depth.training.start import initial_params, model_config
from jax_depth.training.step import (
    Alignment,
    Batch,
    TrainState,
    init_state,
    make_step,
)
from jax_depth.training.stop import Stop
from jax_depth.training.throughput import Throughput
from jax_depth.weights import load_params

# Steps the host may run ahead of the device.
_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is judged by.

    Attributes:
        datasets: to mix.
        weights: share of each, any positive scale; by size when None.
        held_out: for evaluation while training; None for none.
    """

    datasets: Sequence[Dataset]
    weights: Sequence[float] | None = None
    held_out: Dataset | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How far a run came: steps done, and whether Ctrl-C ended it."""

    steps: int
    interrupted: bool


class NotFinite(ValueError):
    """Step after step without a finite gradient: one sentence, with sample names."""


def train(recipe: Recipe, data: TrainingData, workdir: Path | str) -> Outcome:
    """Train until the recipe's last step or SIGTERM; go on if `workdir` has a run.

    Args:
        recipe: the run.
        data: what it learns from.
        workdir: new, or of the same run.

    Returns:
        How far it came: less than the recipe's steps after SIGTERM or Ctrl-C.

    Raises:
        ValueError: settings that do not fit each other, the devices or the run in
            `workdir`; unreadable data beyond its limit.
        NotFinite: `run.skip_limit` steps in a row had no finite gradient.
    """
    workdir = Path(workdir)
    config = model_config(recipe)
    mesh = meshes.make_mesh(recipe.run.fsdp)
    _check_batch(recipe, mesh.size)
    active = jax.process_index() == 0
    record.make_folder(workdir)
    described = record.described(data.datasets, data.weights, data.held_out)
    notes = record.changes_since(workdir, recipe, described)
    kinds = {isinstance(d, PseudoLabelled) for d in data.datasets}
    kinds = tuple(("labelled", "pseudo")[kind] for kind in sorted(kinds))
    run = _Run(recipe, config, mesh, workdir, kinds)
    if active:
        record.write(workdir, recipe, described)
    first = int(run.state.step) // recipe.optimizer.accumulate
    journal = Journal(workdir, first, recipe.run.steps, active)
    loader = Loader(
        data.datasets,
        Rows(recipe),
        batch_size=recipe.data.batch // recipe.optimizer.accumulate,
        seed=recipe.run.seed,
        weights=data.weights,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=recipe.data.threads,
        ahead=recipe.data.prefetch,
        unreadable_limit=recipe.data.unreadable_limit,
        report=journal.say,
    )
    for note in notes:
        journal.say(note)
    try:
        with Stop() as stop:
            steps = _steps(run, loader, data.held_out, journal, first, stop)
            return Outcome(steps, stop.signal == signal.SIGINT)
    finally:
        run.checkpoints.close()
        journal.close()


class _Run:
    """State, step and checkpoints of a run."""

    def __init__(
        self,
        recipe: Recipe,
        config: ModelConfig,
        mesh: Mesh,
        workdir: Path,
        kinds: tuple[str, ...],
    ):
        self.recipe, self.config, self.mesh = recipe, config, mesh
        self.workdir = workdir
        self.checkpoints = Checkpoints(workdir, recipe.run.keep)
        optimizer = from_settings(recipe.optimizer, recipe.run.steps, config)
        latest, start = self.checkpoints.latest(), recipe
        if latest is not None:  # what the run began from may be gone by now
            model = dataclasses.replace(recipe.model, init="")
            start = dataclasses.replace(recipe, model=model)
        # On the host first: a large state may fit no single device.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            params = initial_params(start, config)
            state = init_state(params, optimizer, frozen_prefixes(recipe.model))
        shardings = meshes.state_shardings(state, mesh, recipe.run.shard_above)
        self.state: TrainState = meshes.place(state, shardings)
        if latest is not None:
            self.state = self.checkpoints.restore(latest, self.state)
        self.best = self.checkpoints.best()
        alignment, self._reference = self._frozen_encoder()
        seed, share = recipe.run.seed, recipe.loss.cutmix

        def mix(batch: Batch, number) -> Batch:
            key = jax.random.fold_in(jax.random.key(seed), number)
            return objectives.cutmix(batch, share, key)

        self._step = make_step(
            config,
            optimizer,
            objectives.objective(recipe.loss, config, kinds),
            recipe.optimizer.average,
            accumulate=recipe.optimizer.accumulate,
            mix=mix if share else None,
            alignment=alignment,
            context=lambda: meshes.held_activations(mesh),
            shardings=shardings,
            seed=seed,
        )

    def step(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """Take one batch; return its metrics, still on the device."""
        batch = meshes.split(Batch(**arrays), self.mesh)
        self.state, metrics = self._step(self.state, batch, self._reference)
        return metrics

    def _frozen_encoder(self):
        settings = self.recipe.loss
        if not settings.feature:
            return None, None
        params, config = load_params(settings.feature_reference)
        dtype = self.config.dtype
        config = dataclasses.replace(config, dtype=dtype)
        if config.encoder.width != self.config.encoder.width:
            raise ValueError(
                f"loss.feature_reference={settings.feature_reference}: its tokens are "
                f"{config.encoder.width} wide, the model's "
                f"{self.config.encoder.width}; take an encoder of the same size"
            )
        encoder = {"encoder": params["encoder"]}
        config = dataclasses.replace(config, head=None, kind="features", max_depth=None)
        shardings = meshes.state_shardings(
            encoder, self.mesh, self.recipe.run.shard_above
        )
        alignment = Alignment(config, settings.feature, settings.feature_margin)
        return alignment, meshes.place(encoder, shardings)

    def save(self, held_out: Dataset | None, journal: Journal, step: int) -> None:
        """Save a checkpoint, judged first if there is anything to judge by."""
        averaged = on_host(self.state).params()
        metrics, better = None, self.best is None
        if held_out is not None:
            metrics = self.evaluate(averaged, held_out, journal, step)
            if METRIC not in metrics:
                metrics = None
            elif better := self.best is None or metrics[METRIC] < self.best:
                self.best = metrics[METRIC]
        self.checkpoints.save(self.state, metrics)
        if better and jax.process_index() == 0:
            export(self.workdir, averaged, self.config)

    def evaluate(
        self, params: Params, held_out: Dataset, journal: Journal, step: int
    ) -> dict[str, float | int]:
        """Judge parameters and log the result."""
        settings, data = self.recipe.run, self.recipe.data
        metrics, pictures = evaluate_held_out(
            jax.device_put(params, jax.local_devices()[0]),
            self.config,
            held_out,
            settings.evaluate_images,
            data.size,
            data.min_depth,
            journal.say,
        )
        journal.write(step, {f"held_out/{k}": v for k, v in metrics.items()})
        journal.pictures(step, pictures)
        return metrics


def _steps(run, loader, held_out, journal, first: int, stop: Stop) -> int:
    """Run from optimiser step `first`; return the number of steps done."""
    recipe = run.recipe
    settings, parts = recipe.run, recipe.optimizer.accumulate
    flops = 3 * forward_flops(run.config, recipe.data.size, recipe.data.size)
    throughput = Throughput(recipe.data.batch, flops)
    pending: collections.deque = collections.deque()
    watch = _Watch(settings.skip_limit)
    batches: Iterator = loader.batches(first * parts)
    window: list[dict[str, float]] = []
    done = first
    if held_out is not None and not first:
        # What the run starts from, to compare with.
        run.evaluate(on_host(run.state).params(), held_out, journal, 0)
    while done < settings.steps:
        for _ in range(parts):
            with throughput.waiting():
                batch = next(batches)
            pending.append((run.step(batch.arrays), batch.names))
            while len(pending) > _AHEAD:
                window.append(watch.settle(*pending.popleft()))
        done += 1
        journal.advance()
        last = done == settings.steps
        stopped = stop.asked(done)
        evaluate = last or done % settings.evaluate_every == 0
        save = evaluate or stopped or done % settings.save_every == 0
        if save or done % settings.log_every == 0:
            while pending:
                window.append(watch.settle(*pending.popleft()))
            if done % settings.log_every == 0:
                values = _means(window) | throughput.since_last(settings.log_every)
                journal.write(done, values | watch.counts(loader))
                window = []
        if save:
            with throughput.paused():
                run.save(held_out if evaluate else None, journal, done)
        if stopped:
            run.checkpoints.wait()
            journal.say(f"stopped at step {done} of {settings.steps}, saved")
            break
    return done


class _Watch:
    """Notices steps without a finite gradient, which changed nothing."""

    def __init__(self, limit: int):
        self._limit = limit
        self._names: list[str] = []
        self._row = self._total = 0

    def settle(self, metrics: dict[str, Any], names: Sequence[str]) -> dict:
        """Return a step's metrics as floats.

        Raises:
            NotFinite: the limit is reached.
        """
        values = {name: float(value) for name, value in metrics.items()}
        if values.pop("finite"):
            self._row, self._names = 0, []
            return values
        self._row, self._total = self._row + 1, self._total + 1
        self._names += names
        if self._row >= self._limit:
            raise NotFinite(
                f"{self._row} steps in a row had no finite gradient and were skipped; "
                "look at the data or lower optimizer.learning_rate; the samples were "
                f"{', '.join(self._names[-20:])}"
            )
        return values

    def counts(self, loader: Loader) -> dict[str, int]:
        """Return what was left out since this process began."""
        return {"skipped_steps": self._total, "unreadable": len(loader.unreadable)}


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    finite = [values for values in window if np.isfinite(values["loss"])]
    names = finite[0] if finite else {}
    return {name: float(np.mean([v[name] for v in finite])) for name in names}


def _check_batch(recipe: Recipe, devices: int) -> None:
    rows = recipe.data.batch // recipe.optimizer.accumulate
    if rows % devices:
        raise ValueError(
            f"a batch of {rows} pictures (data.batch / optimizer.accumulate) does not "
            f"divide among {devices} devices; make it a multiple"
        )
