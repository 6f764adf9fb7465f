"""Ten minutes on one GPU: frames drawn there, `tiny` trained on them, weights back.

    python scripts/tiny/gpu/train.py OUT --pack PACK --cache CACHE

Network, losses, optimiser, moving average and judge are the library's. Only the feed
differs from `jax-depth train tiny`, see `frames` and `views`: a host cannot cut and
colour the thousands of crops per second that the card takes. The learning rate falls
with the clock and reaches 0 after `--budget` seconds. OUT becomes a folder that
`export.py` reads: the moving average that scored best on the held-out frames,
`log.jsonl`, and the newest weights under `last`. The same command resumes from CACHE.

`--photos` led to a model that takes whatever is lower in a photo to be nearer;
scripts/tiny/README.md has the figures.
"""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import frames
import jax
import jax.numpy as jnp
import numpy as np
import optax
import views
from PIL import Image

from jax_depth.data.rendered import Rendered
from jax_depth.data.shards import shard_path
from jax_depth.models.depth_anything import raw_output
from jax_depth.training.augment import Augmentation
from jax_depth.training.checkpoints import Checkpoints, export
from jax_depth.training.held_out import evaluate_held_out
from jax_depth.training.objectives import cutmix, objective
from jax_depth.training.optimizer import adamw
from jax_depth.training.recipe import LossSettings
from jax_depth.training.recipes import RECIPES
from jax_depth.training.start import initial_params, model_config
from jax_depth.training.step import (
    Batch,
    TrainState,
    init_state,
    make_step,
    normalize_rgb,
)

HERE = Path(__file__).parent
VIEW = Augmentation(crop=(0.4, 1.0))
STRONG = Augmentation(contrast=0.4, brightness=0.4, blur_share=0.5, blur=(0.3, 2.0))
BANK = 8  # chunks
PHOTO_PIXELS = 288 * 512


def clocked(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return `inner`, its updates scaled by the state's "rate" that the loop sets."""

    def init(params):
        return {"inner": inner.init(params), "rate": jnp.ones((), jnp.float32)}

    def update(updates, state, params=None):
        updates, new = inner.update(updates, state["inner"], params)
        scaled = jax.tree.map(lambda u: u * state["rate"], updates)
        return scaled, {"inner": new, "rate": state["rate"]}

    return optax.GradientTransformation(init, update)


def make_optimizer(rate: float, stem_factor: float) -> optax.GradientTransformation:
    """AdamW; the stem has its own rate, and its gradient is clipped separately."""
    parts = {"stem": adamw(rate * stem_factor), "rest": adamw(rate)}

    def labels(params):
        return {k: "stem" if k.startswith("encoder/stem/") else "rest" for k in params}

    return clocked(optax.multi_transform(parts, labels))


def load_bank(paths: list[Path]) -> views.Bank:
    """Return chunks as one bank on the device."""
    parts = [np.load(path) for path in paths]
    return {
        name: jax.device_put(np.concatenate([part[name] for part in parts]))
        for name in ("rgb", "disparity", "scale", "shape")
    }


def load_photos(folder: Path) -> views.Bank | None:
    """Return the photos of a folder as a bank without disparity."""
    items = []
    for path in sorted(folder.glob("*.jpg")):
        with Image.open(path) as image:
            image = image.convert("RGB")
            scale = min(1.0, (PHOTO_PIXELS / (image.width * image.height)) ** 0.5)
            size = int(image.width * scale), int(image.height * scale)
            rgb = np.asarray(image.resize(size) if scale < 1 else image)
        items.append((rgb, np.zeros(rgb.shape[:2], np.uint16), 0.0))
    if not items:
        return None
    return jax.device_put(frames.stack(items, PHOTO_PIXELS))


class Feed:
    """Banks of frames on the device, growing as frames are drawn."""

    def __init__(self, cache: Path, chunks: int, chunks_per_bank: int):
        self.cache, self.chunks, self.per_bank = cache, chunks, chunks_per_bank
        self.banks: list[views.Bank] = []
        self.loaded: set[Path] = set()
        self.failed: Exception | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        try:
            while len(self.banks) < self.chunks // self.per_bank:
                ready = sorted(set(self.cache.glob("chunk-*.npz")) - self.loaded)
                if len(ready) < self.per_bank:
                    time.sleep(0.5)
                    continue
                chosen = ready[: self.per_bank]
                self.banks.append(load_bank(chosen))
                self.loaded |= set(chosen)
        except Exception as error:  # seen by the loop, which then ends
            self.failed = error

    def count(self) -> int:
        """Return the number of frames on the device."""
        return len(self.banks) * self.per_bank * frames.CHUNK


def batch_maker(config, size: int, batch: int, pseudo: int):
    """Return the jitted (bank, photos, weights, key) -> Batch.

    The last `pseudo` rows are photos; their target is what `weights`, the moving
    average, predict for the clean crop and its mirror image.
    """

    def make(bank, photos, params, key):
        a, b, c, d, e, f = jax.random.split(key, 6)
        number = jax.random.randint(a, (batch - pseudo,), 0, len(bank["scale"]))
        rgb, target = views.crop(bank, number, size, VIEW, b)
        rgb = views.develop(rgb, VIEW, c)
        if pseudo:
            number = jax.random.randint(d, (pseudo,), 0, len(photos["scale"]))
            clean, _ = views.crop(photos, number, size, VIEW, e)
            seen = normalize_rgb(views.to_bytes(clean), config)
            seen = jnp.concatenate([seen, seen[:, :, ::-1]])
            raw = jax.nn.relu(raw_output(params, seen, config))
            taught = (raw[:pseudo] + raw[pseudo:, :, ::-1]) / 2
            rgb = jnp.concatenate([rgb, views.develop(clean, STRONG, f)])
            target = jnp.concatenate([target, taught])
        known = jnp.ones(target.shape, bool)
        is_pseudo = jnp.arange(batch) >= batch - pseudo
        return Batch(rgb, jax.lax.stop_gradient(target), known, is_pseudo)

    return jax.jit(make)


class Judge:
    """Judges held-out frames in a thread; keeps the best and the newest weights."""

    def __init__(self, out: Path, config, held_out: Path, count: int, size: int):
        self.out, self.config, self.size, self.count = out, config, size, count
        self.folder = held_out
        self.best = -1.0
        if (out / "best.json").exists():
            self.best = json.loads((out / "best.json").read_text())["d1"]
        self.thread: threading.Thread | None = None

    def look(self, step: int, params: dict) -> None:
        """Start judging parameters, unless the last judgement is still under way."""
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self._look, args=(step, params))
            self.thread.start()

    def wait(self) -> None:
        """Wait for the last judgement."""
        if self.thread is not None:
            self.thread.join()

    def _look(self, step: int, params: dict) -> None:
        host = jax.tree.map(np.asarray, params)
        (self.out / "last").mkdir(exist_ok=True)
        export(self.out / "last", host, self.config)
        if not shard_path(self.folder, "heldout", 0).exists():
            return
        samples = Rendered(self.folder, "heldout")
        config = dataclasses.replace(self.config, dtype="float32")
        found, _ = evaluate_held_out(params, config, samples, self.count, self.size)
        log(self.out, {"step": step} | {f"held_out/{k}": v for k, v in found.items()})
        if found["d1"] > self.best:
            self.best = found["d1"]
            export(self.out, host, self.config)
            text = json.dumps({"step": step, "d1": found["d1"]})
            (self.out / "best.json").write_text(text)


def log(out: Path, values: dict) -> None:
    """Add a line to the curve and print it."""
    text = json.dumps(values)
    with open(out / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(text + "\n")
    print(text, flush=True)


def rate_at(share: float, step: int, warmup: int, hold: float) -> float:
    """Return the learning rate's share of its peak, after `share` of the time."""
    fall = min(max((share - hold) / (1 - hold), 0.0), 1.0)
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + float(np.cos(np.pi * fall)))


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pack", type=Path, required=True, help="folder or file")
    parser.add_argument(
        "--photos", type=Path, help="folder of JPEGs; read the warning above first"
    )
    parser.add_argument("--cache", type=Path, required=True, help="frames and state")
    parser.add_argument("--budget", type=float, default=540, help="seconds, all told")
    parser.add_argument("--chunks", type=int, default=200, help="of 256 frames")
    parser.add_argument("--bank", type=int, default=BANK, help="chunks to a bank")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--stem", type=float, default=0.1, help="0 keeps it frozen")
    parser.add_argument("--gradient", type=float, default=1.0)
    parser.add_argument("--photo-share", type=float, default=0.2)
    parser.add_argument("--photo-weight", type=float, default=0.25)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--hold", type=float, default=0.4)
    parser.add_argument("--average", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--look-every", type=float, default=45, help="seconds")
    parser.add_argument("--held-out", type=int, default=240, help="frames")
    parser.add_argument("--init", default="tiny")
    return parser.parse_args()


def prepare(arguments: argparse.Namespace) -> list:
    """Unpack the assets and start the renderers; return the processes."""
    began, pack = time.time(), arguments.pack
    renderer = HERE.parent / "renderer"
    if pack.is_file():
        pack = arguments.cache / "pack"
        if not (pack / "indices.npy").exists():
            script = renderer / "compact.py"
            words = [sys.executable, script, arguments.pack, arguments.cache / "new"]
            subprocess.run(words, check=True)
            shutil.move(arguments.cache / "new", pack)
    print(f"the pack is there after {time.time() - began:.0f} s", flush=True)
    words = [sys.executable, renderer / "generate.py", arguments.cache / "held"]
    words += ["--assets", pack, "--split", "heldout", "--seed", 2, "--frames"]
    subprocess.Popen([*map(str, words), str(arguments.held_out)])
    folder = arguments.cache / "frames"
    return frames.start(
        folder, pack, arguments.seed, arguments.chunks, arguments.workers
    )


def main() -> None:
    began = time.time()
    arguments = arguments_of()
    out, cache = arguments.out, arguments.cache
    out.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    processes = prepare(arguments)
    jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
    jax.config.update("jax_default_matmul_precision", "tensorfloat32")
    recipe = RECIPES["tiny"]
    model = dataclasses.replace(
        recipe.model,
        init=arguments.init,
        frozen=() if arguments.stem else recipe.model.frozen,
        dtype=arguments.dtype,
    )
    data = dataclasses.replace(recipe.data, size=arguments.size, batch=arguments.batch)
    recipe = dataclasses.replace(recipe, model=model, data=data)
    config = model_config(recipe)
    photos = load_photos(arguments.photos) if arguments.photos else None
    pseudo = round(arguments.batch * arguments.photo_share) if photos else 0
    settings: LossSettings = dataclasses.replace(
        recipe.loss,
        gradient=arguments.gradient,
        pseudo=arguments.photo_weight,
        cutmix=0.5 if pseudo else 0.0,
    )
    kinds = ("labelled", "pseudo") if pseudo else ("labelled",)
    optimizer = make_optimizer(arguments.rate, arguments.stem)
    checkpoints = Checkpoints(cache / "run", 1)
    latest = checkpoints.latest()
    state = init_state(initial_params(recipe, config), optimizer, model.frozen)
    if latest is not None:
        state = checkpoints.restore(latest, state)
        print(f"resuming at step {latest}", flush=True)
    state: TrainState = jax.device_put(state)

    def mix(batch: Batch, number) -> Batch:
        key = jax.random.fold_in(jax.random.key(arguments.seed), number)
        return cutmix(batch, settings.cutmix, key)

    step = make_step(
        config,
        optimizer,
        objective(settings, config, kinds),
        arguments.average,
        mix=mix if pseudo else None,
    )
    make = batch_maker(config, arguments.size, arguments.batch, pseudo)
    feed = Feed(cache / "frames", arguments.chunks, arguments.bank)
    judge = Judge(out, config, cache / "held", arguments.held_out, arguments.size)
    while not feed.banks:
        if feed.failed:
            raise feed.failed
        if all(process.exitcode for process in processes):
            raise SystemExit("no frame was drawn; see the renderer's message above")
        time.sleep(0.2)
    start = time.time()
    print(f"the first bank is there after {start - began:.0f} s", flush=True)
    run(arguments, state, step, make, feed, photos, judge, checkpoints, began)


def run(arguments, state, step, make, feed, photos, judge, checkpoints, began) -> None:
    """Train until the time is up."""
    out, generator = arguments.out, np.random.default_rng(int(state.step))
    number = int(state.step)
    first, last_look, last_log = number, time.time(), None
    metrics: dict = {}
    start = time.time()
    while (now := time.time()) - began < arguments.budget:
        if feed.failed:
            raise feed.failed
        share = (now - start) / (arguments.budget - (start - began))
        rate = rate_at(share, number - first, arguments.warmup, arguments.hold)
        optimizer = state.optimizer | {"rate": jnp.float32(rate)}
        state = dataclasses.replace(state, optimizer=optimizer)
        key = jax.random.fold_in(jax.random.key(arguments.seed + 1), number)
        bank = feed.banks[generator.integers(len(feed.banks))]
        batch = make(bank, photos, state.params(), key)
        state, metrics = step(state, batch)
        number += 1
        if number == first + 1:
            jax.block_until_ready(metrics)
            print(f"compiled after {time.time() - began:.0f} s", flush=True)
            Image.fromarray(sheet(batch)).save(out / "batch.jpg", quality=85)
        if number % 50 == 0 or number == first + 1:
            values = {k: float(v) for k, v in metrics.items()}
            moment = time.time()
            if last_log is not None:
                done = 50 * arguments.batch / (moment - last_log)
                values["images_per_second_per_device"] = done
            last_log = moment
            values |= {"rate": rate * arguments.rate, "frames": feed.count()}
            log(out, {"step": number} | values | {"seconds": moment - began})
        if time.time() - last_look > arguments.look_every:
            last_look = time.time()
            judge.look(number, jax.tree.map(jnp.copy, state.params()))
            checkpoints.save(state)
    judge.wait()
    judge.look(number, state.params())
    judge.wait()
    checkpoints.save(state)
    checkpoints.close()
    print(f"{number} steps, {time.time() - began:.0f} s; best d1 {judge.best:.3f}")


def sheet(batch: Batch, count: int = 12) -> np.ndarray:
    """Return the pictures of a batch above their targets, to look at."""
    rgb = np.asarray(batch.rgb)
    chosen = np.linspace(0, len(rgb) - 1, min(count, len(rgb))).astype(int)
    columns = []
    for i in chosen:
        target = np.asarray(batch.target[i])
        level = np.clip(target / max(float(np.percentile(target, 98)), 1e-6), 0, 1)
        grey = np.repeat((level * 255).astype(np.uint8)[..., None], 3, -1)
        columns.append(np.concatenate([rgb[i], grey]))
    return np.concatenate(columns, 1)


if __name__ == "__main__":
    main()
