"""A run as it stands: its state, the step, and where its checkpoints are."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from jax_depth.config import ModelConfig
from jax_depth.training import mesh as meshes
from jax_depth.training import objectives
from jax_depth.training.checkpoints import (
    Checkpoints,
)
from jax_depth.training.history import (
    HeldOut,
    Patience,
    greatest,
)
from jax_depth.training.optimizer import from_settings, rates, safely
from jax_depth.training.recipe import Recipe, frozen_prefixes
from jax_depth.training.start import initial_params
from jax_depth.training.step import (
    Batch,
    FeatureAlignment,
    TrainState,
    init_state,
    make_step,
)
from jax_depth.weights import read_params


class Run:
    """State, step and checkpoints of a run.

    Attributes:
        recipe, config, mesh, workdir, judges: as given.
        checkpoints: of the run.
        state: the newest.
        best: metric of the best evaluation so far, or None.
        patience: of early stopping.
        notes: messages about what was found in the folder.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: ModelConfig,
        mesh: Mesh,
        workdir: Path,
        kinds: tuple[str, ...],
        judges: list[HeldOut],
        optimizer: optax.GradientTransformation | None = None,
    ):
        self.recipe, self.config, self.mesh = recipe, config, mesh
        self.workdir, self.judges = workdir, judges
        best = recipe.run.best
        self.checkpoints = Checkpoints(workdir, recipe.run.keep, best, greatest(best))
        self._rates, own = None, optimizer
        if own is None:
            chain = from_settings(recipe.optimizer, recipe.run.steps, config)
        else:
            chain = safely(own, recipe.optimizer.accumulate)
        latest, start = self.checkpoints.latest(), recipe
        if latest is not None:  # what the run started from may be gone by now
            model = dataclasses.replace(recipe.model, init="")
            start = dataclasses.replace(recipe, model=model)
        # On the host first: a large state may fit no single device.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            params = initial_params(start, config)
            state = init_state(params, chain, frozen_prefixes(recipe.model))
        shardings = meshes.state_shardings(state, mesh, recipe.run.shard_above)
        self.state: TrainState = meshes.place(state, shardings)
        restored, self.notes = self.checkpoints.restore_newest(self.state)
        if restored is not None:
            self.state = restored
        self.best = self.checkpoints.best()
        self.patience = Patience(recipe.run.patience, best)
        number = int(self.state.step) // recipe.optimizer.accumulate
        prefix = judges[0].prefix if judges and "/" not in best else ""
        self.patience.recall(workdir, prefix + best, number)
        if own is None:
            self._rates = rates(
                recipe.optimizer, recipe.run.steps, config, self.state.trained
            )
        alignment, self._reference = self._frozen_encoder()
        seed, share = recipe.run.seed, recipe.loss.cutmix

        def mix(batch: Batch, number) -> Batch:
            key = jax.random.fold_in(jax.random.key(seed), number)
            return objectives.cutmix(batch, share, key)

        self._step = make_step(
            config,
            chain,
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
        params, config = read_params(settings.feature_reference)
        dtype = self.config.dtype
        config = dataclasses.replace(config, dtype=dtype)
        if config.encoder.width != self.config.encoder.width:
            raise ValueError(
                f"loss.feature_reference={settings.feature_reference}: its tokens are "
                f"{config.encoder.width} wide, the model's "
                f"{self.config.encoder.width}; use an encoder of the same size"
            )
        encoder = {"encoder": params["encoder"]}
        config = dataclasses.replace(config, head=None, kind="features", max_depth=None)
        shardings = meshes.state_shardings(
            encoder, self.mesh, self.recipe.run.shard_above
        )
        alignment = FeatureAlignment(config, settings.feature, settings.feature_margin)
        return alignment, meshes.place(encoder, shardings)

    def rates(self, step: int) -> dict[str, float]:
        """Return the learning rates of a step by group; none for a custom optimiser."""
        if self._rates is None:
            return {}
        found = self._rates(step)
        return {f"learning_rate/{group}": rate for group, rate in found.items()}
