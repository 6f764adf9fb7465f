"""Train `tiny` on rendered frames. Resumable: start it again with one --workdir.

    python scripts/tiny/train.py --data DATA --stem stem.safetensors --workdir RUN \
        --size 160 --steps 6000 --cooldown 0 --minutes 40
    python scripts/tiny/train.py ... --size 224 --steps 7000 --cooldown 1000

The second call goes on from the last checkpoint at another size. The log line of a
checkpoint gives the metrics of the moving average on the first held-out frames.
"""

import argparse
import dataclasses
import functools
import json
import signal
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from frames import Frames, batches
from judge import judge_frames
from recipe import CONFIG
from safetensors.numpy import load_file

from jax_depth.inference.memory import keep_freed_memory
from jax_depth.models.initialize import init
from jax_depth.training.augment import Augmentation
from jax_depth.training.optimizer import adamw, schedule
from jax_depth.training.step import (
    TrainState,
    init_state,
    make_step,
    relative_loss,
)

FROZEN = ("encoder/stem",)
TRIM = 0.1
GAUGE_WEIGHT = 0.05


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the renderer")
    parser.add_argument("--stem", required=True, help="what convert_stem.py wrote")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--encoder-from", type=Path, help="workdir of another run")
    parser.add_argument("--size", type=int, default=160, help="side of a crop")
    parser.add_argument("--crop", type=float, default=0.5, help="least share of a side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, required=True, help="length of the run")
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--cooldown", type=int, default=0, help="last steps, to rate 0")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.999, help="moving average")
    parser.add_argument("--gradient-weight", type=float, default=0.5)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after these")
    parser.add_argument("--every", type=float, default=5, help="minutes per checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def initial_params(stem: str, seed: int) -> dict:
    """Return random parameters with the pretrained stem put in."""
    params = init(CONFIG, jax.random.key(seed))
    loaded = traverse_util.unflatten_dict(load_file(stem), sep="/")
    shapes = [jax.tree.map(np.shape, x) for x in (params["encoder"]["stem"], loaded)]
    assert shapes[0] == shapes[1], f"{stem} does not fit the stem of {CONFIG.name}"
    params["encoder"]["stem"] = loaded
    # The stem's maps have a deviation of 8, the transformer's 1: at equal weights
    # the head would begin with noise from the fine levels alone.
    for name in ("project_0", "project_1"):
        params["head"][name]["kernel"] /= 8
    return params


class Run:
    """A training run: state, checkpoints and the log."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        rate = schedule(
            arguments.lr, arguments.steps, arguments.warmup, arguments.cooldown
        )
        self.optimizer = adamw(rate)
        params = initial_params(arguments.stem, arguments.seed)
        self.state = init_state(params, self.optimizer, FROZEN)
        self.checkpoints = open_checkpoints(arguments.workdir)
        self.cpu_before = 0.0
        if (latest := self.checkpoints.latest_step()) is not None:
            self.restore(latest)
        elif arguments.encoder_from:
            self.take_encoder(arguments.encoder_from)
        self.log_file = open(arguments.workdir / "log.jsonl", "a")

    def take_encoder(self, workdir: Path) -> None:
        """Begin with the averaged encoder of another run and a new head."""
        checkpoints = open_checkpoints(workdir)
        other = restore_state(checkpoints, checkpoints.latest_step(), self.state)
        encoder = {k: v for k, v in other.average.items() if k.startswith("encoder/")}
        trained = self.state.trained | encoder
        average = jax.tree.map(jnp.copy, trained)
        self.state = dataclasses.replace(self.state, trained=trained, average=average)

    def restore(self, step: int) -> None:
        self.state = restore_state(self.checkpoints, step, self.state)
        entries = map(json.loads, open(self.arguments.workdir / "log.jsonl"))
        self.cpu_before = max((e.get("cpu_seconds", 0.0) for e in entries), default=0.0)

    def save(self, frames: Frames) -> None:
        step = int(self.state.step)
        self.checkpoints.save(step, args=ocp.args.StandardSave(dump(self.state)))
        self.checkpoints.wait_until_finished()
        if len(frames):
            result = judge_frames(self.state.params(), CONFIG, frames, limit=60)
            self.log({"step": step, "held_out": result})

    def log(self, entry: dict) -> None:
        entry["cpu_seconds"] = round(self.cpu_before + time.process_time(), 1)
        line = json.dumps(entry)
        print(line, flush=True)
        self.log_file.write(line + "\n")
        self.log_file.flush()


def open_checkpoints(workdir: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=2)
    folder = (workdir / "checkpoints").absolute()
    return ocp.CheckpointManager(folder, options=options)


def restore_state(checkpoints, step: int, like: TrainState) -> TrainState:
    """Return the state saved at `step`; `like` gives its structure."""
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, dump(like))
    target = ocp.args.StandardRestore(abstract)
    return load(like, checkpoints.restore(step, args=target))


def dump(state: TrainState) -> dict:
    """Return a state as a plain dict, for the checkpoint."""
    fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    return fields | {"optimizer": jax.tree.leaves(state.optimizer)}


def load(state: TrainState, fields: dict) -> TrainState:
    """Return `state` with the values of `dump`."""
    structure = jax.tree.structure(state.optimizer)
    optimizer = jax.tree.unflatten(structure, fields["optimizer"])
    return TrainState(**fields | {"optimizer": optimizer})


def train(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    # Compiling takes a minute; a resumed run needs none of it.
    jax.config.update("jax_compilation_cache_dir", str(arguments.workdir / "cache"))
    run = Run(arguments)
    frames = Frames(arguments.data, "train")
    held_out = Frames(arguments.data, "heldout")
    loss = functools.partial(
        relative_loss,
        trim=TRIM,
        gradient_weight=arguments.gradient_weight,
        gauge_weight=GAUGE_WEIGHT,
    )
    step = make_step(CONFIG, run.optimizer, loss, arguments.decay)
    first = int(run.state.step)
    options = {k: str(v) for k, v in vars(arguments).items()}
    run.log({"start": first, "frames": len(frames), "arguments": options})
    source = batches(
        frames,
        arguments.batch,
        arguments.size,
        arguments.seed,
        first,
        Augmentation(crop=(arguments.crop, 1.0)),
    )
    start = saved = time.monotonic()
    window: list[dict] = []
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    for number in range(first, arguments.steps):
        run.state, metrics = step(run.state, next(source))
        window.append(metrics)
        if len(window) == 50:
            report(run, window, number + 1, arguments, len(frames))
            window = []
        now = time.monotonic()
        if stop:
            break
        if now - saved > 60 * arguments.every:
            run.save(held_out)
            saved = time.monotonic()
        if now - start > 60 * arguments.minutes:
            break
    source.close()
    held_out.relist()
    run.save(held_out)


def report(run: Run, window: list[dict], step: int, arguments, frames: int) -> None:
    """Log the mean of the last metrics and the throughput."""
    now, cpu = time.monotonic(), time.process_time()
    then = getattr(run, "clock", None)
    run.clock = (now, cpu)
    entry = {"step": step, "images": step * arguments.batch, "frames": frames}
    for name in window[0]:
        entry[name] = round(float(np.mean([float(m[name]) for m in window])), 4)
    if then:
        images = len(window) * arguments.batch
        entry["images_per_second"] = round(images / (now - then[0]), 2)
        entry["images_per_cpu_second"] = round(images / (cpu - then[1]), 2)
    entry["skipped"] = int(run.state.optimizer.total_notfinite)
    run.log(entry)


if __name__ == "__main__":
    train(parse_arguments())
