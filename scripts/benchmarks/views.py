"""What many views of one place cost: memory of one machine, and of chips not here.

    python scripts/benchmarks views memory
    pip install '.[aot]' && python scripts/benchmarks views chips --chip v5e:2x2
    pip install --no-deps -r tests/oracle-requirements.txt
    python scripts/benchmarks views authors --views 1 2 5

memory: peak of an any-view network of toy width on this CPU, each number of views in a
process of its own, beside the part that is attention's own: logits of a block of all
views. chips: peak bytes of a chip and collectives of a published model, views shared
out, in bfloat16. authors: processor time and peak memory of the authors' own network
and of this one, with the same random weights, taking turns in processes of their own,
each on one core: torch's threads wait by turning in circles, which costs processor time
where cores are shared. Memory is that of the calls, without what loading left behind.
"""

import argparse
import ctypes
import dataclasses
import gc
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_depth.catalog import MODELS
from jax_depth.inference.memory import keep_freed_memory
from jax_depth.models.depth_anything import apply, param_shapes

MODEL = "depth-anything-3-small"
SIZE = (504, 378)


def main(arguments: list[str]) -> None:
    """Measure one subject and print a JSON line for each number of views."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("subject", choices=("memory", "chips", "authors"))
    parser.add_argument("--views", type=int, nargs="+")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--chip", default="v5e:2x2", help="of chips")
    parser.add_argument("--rounds", type=int, default=3, help="of authors")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    usual = {"memory": [2, 8, 32], "chips": [8, 32, 100], "authors": [1, 2, 5]}
    views = args.views or usual[args.subject]
    jax.config.update("jax_platforms", "cpu")
    if args.one:
        if args.subject == "authors":
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        ours = args.one == "jax_depth"
        way = memory if args.subject == "memory" else _turn_of(ours)
        print(json.dumps(way(views[0], args)))
        return
    for count in views:
        if args.subject == "chips":
            found = chips(count, args)
        elif args.subject == "memory":
            found = _in_a_process("memory", count, args, "memory")
        else:
            found = authors(count, args)
        print(json.dumps({"views": count} | found), flush=True)


def memory(views: int, args: argparse.Namespace) -> dict[str, float]:
    """Return MiB of a toy network: of the process beyond its start, and of XLA."""
    published = MODELS[args.model].config
    encoder = dataclasses.replace(
        published.encoder,
        **{"width": 64, "depth": 6, "heads": 4, "mlp_hidden": 256, "start": 2},
        taps=(1, 3, 4, 5),
    )
    config = dataclasses.replace(published, encoder=encoder)
    height, width = args.size or (140, 196)
    shapes = param_shapes(config)
    params = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, jnp.float32), shapes)
    pixels = jnp.ones((1, views, height, width, 3), jnp.float32)
    program = jax.jit(apply, static_argnames="config")
    compiled = program.lower(params, pixels, config=config).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    before = _peak()
    jax.block_until_ready(compiled(params, pixels))
    tokens = views * (height * width // 14**2 + 1)
    return {
        "xla_mib": analysis.temp_size_in_bytes / 2**20,
        "process_mib": _peak() - before,
        "tokens": tokens,
        "logits_of_a_head_mib": 4 * tokens**2 / 2**20,
    }


def chips(views: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return GiB a chip and collectives of a model whose views are shared out."""
    from jax.sharding import NamedSharding, PartitionSpec

    from benchmarks.absent_devices import absent_mesh
    from benchmarks.inspection import inspect
    from jax_depth.models.sharded_views import AXIS, apply_sharded
    from jax_depth.models.sharding import mesh_for

    config = dataclasses.replace(MODELS[args.model].config, dtype="bfloat16")
    devices = list(absent_mesh(args.chip).devices.flat)
    mesh = mesh_for(views, devices, AXIS)

    def placed(shape, dtype, *spec):
        sharding = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    params = jax.tree.map(lambda x: placed(x.shape, x.dtype), param_shapes(config))
    pixels = placed((1, views, *(args.size or SIZE), 3), jnp.float32, None, AXIS)
    start = time.process_time()
    compiled = apply_sharded.lower(params, pixels, config, mesh).compile()
    found = inspect(compiled)
    return {
        "chips": mesh.size,
        "peak_gib": found.peak_bytes / 2**30,
        "collectives": dict(found.collectives),
        "compile_s": time.process_time() - start,
    }


def authors(views: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return ratios of ours to theirs, each measured anew in every round."""
    rounds = []
    for _ in range(args.rounds):
        pair = [
            _in_a_process("authors", views, args, whose)
            for whose in ("jax_depth", "authors")
        ]
        rounds.append(pair)
    middle = {
        name: [float(np.median([pair[i][name] for pair in rounds])) for i in (0, 1)]
        for name in ("cpu_s", "run_mib", "peak_mib")
    }
    ratios = [ours["cpu_s"] / theirs["cpu_s"] for ours, theirs in rounds]
    who = ("jax_depth", "authors")
    return {
        **{name: dict(zip(who, both, strict=True)) for name, both in middle.items()},
        "ratios": [round(ratio, 3) for ratio in ratios],
        "difference": max(
            abs(pair[0]["depth"] / pair[1]["depth"] - 1) for pair in rounds
        ),
    }


def _turn_of(ours: bool):
    return _ours if ours else _theirs


def _ours(views: int, args: argparse.Namespace) -> dict[str, float]:
    config = MODELS[args.model].config
    params = _same_weights(config)
    pixels = _pixels(views, args)
    program = jax.jit(apply, static_argnames="config")
    compiled = program.lower(params, pixels, config=config).compile()

    def run():
        output = compiled(params, pixels)
        return np.asarray(jax.block_until_ready(output).depth)

    return _timed(run)


def _same_weights(config):
    """Return the parameters that `revive` gives the authors' network."""
    import jax_depth_convert

    oracle = _oracle()
    keys = jax_depth_convert.to_torch(_zeros(config), config)
    state = {
        key: oracle.value(oracle.shared_key(key.removeprefix("model.")), x.shape)
        for key, x in keys.items()
    }
    return jax.tree.map(jnp.asarray, jax_depth_convert.from_torch(state, config))


def _zeros(config):
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), param_shapes(config))


def _theirs(views: int, args: argparse.Namespace) -> dict[str, float]:
    import torch

    net = _oracle().network(MODELS[args.model].config)
    _oracle().revive(net)
    pixels = torch.from_numpy(_pixels(views, args)).movedim(-1, 2)

    def run():
        with torch.no_grad():
            return net(pixels)["depth"].numpy()

    return _timed(run)


def _timed(run) -> dict[str, float]:
    """Return processor seconds of a call, the least of three after a first."""
    peak = _peak()
    _forget_peak()
    keep_freed_memory()
    depth, taken = run(), []
    for _ in range(3):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    mean = float(np.mean(np.log(depth)))
    during = _peak()
    return {
        "cpu_s": min(taken),
        "run_mib": during,
        "peak_mib": max(peak, during),
        "depth": float(np.exp(mean)),
    }


def _forget_peak() -> None:
    """Let the peak begin anew, from what is in use (proc(5), `clear_refs`)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _pixels(views: int, args: argparse.Namespace) -> np.ndarray:
    rng = np.random.default_rng(views)
    size = args.size or (252, 336)
    return rng.standard_normal((1, views, *size, 3)).astype(np.float32)


def _oracle() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    import depth_anything_3_oracle

    return depth_anything_3_oracle


def _in_a_process(subject: str, views: int, args, whose: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).parent), "views", subject]
    command += ["--views", str(views), "--model", args.model, "--one", whose]
    if args.size:
        command += ["--size", *map(str, args.size)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _peak() -> float:
    """Return the greatest resident memory in MiB, since it was forgotten."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
