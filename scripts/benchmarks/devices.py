"""Time depth on this machine's accelerator: S, B and L in three precisions.

    python scripts/benchmarks devices --output docs/devices/my-gpu

One call measures ms per picture of 518 x 518 at batch 1 and 32 for this library in
float32, TF32 and bfloat16 and, where torch sees a GPU, for transformers in the same
precisions with scaled_dot_product_attention, eager and through torch.compile; checks
that all give the same depth; and writes NAME.json and NAME.md with device, versions
and model FLOP utilisation. `--smoke` runs a miniature on whatever there is, in seconds.
"""

import argparse
import dataclasses
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accelerators import ACCELERATORS
from benchmarks.machine import describe, versions
from benchmarks.process import environment
from jax_depth.catalog import MODELS
from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig
from jax_depth.models.flops import forward_flops

ROWS = {
    "jax": ("f32", "tf32", "bf16"),
    "torch": tuple(
        f"{precision}{how}"
        for precision in ("f32", "tf32", "bf16")
        for how in ("", "-compile")
    ),
}
# What jax calls a device -> whose datasheet has its rate. An H200 computes as an H100.
KINDS = {
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
    "H100": "h100",
    "H200": "h100",
}
MINIATURE = ModelConfig(
    "miniature",
    EncoderConfig(64, 4, 2, (0, 1, 2, 3), mlp_hidden=128, position_grid=4),
    HeadConfig(16, (8, 8, 16, 16), output_channels=8),
)


def main(arguments: list[str]) -> None:
    """Measure everything and write the two files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="name of the files, no suffix")
    parser.add_argument("--sizes", default="small,base,large")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--libraries", default="jax,torch")
    parser.add_argument("--seconds", type=float, default=3.0, help="per row")
    parser.add_argument("--smoke", action="store_true", help="a miniature")
    args = parser.parse_args(arguments)
    sizes = ["miniature"] if args.smoke else args.sizes.split(",")
    batches = [1, 2] if args.smoke else [int(b) for b in args.batches.split(",")]
    side = 56 if args.smoke else 518
    device = ask_device()
    libraries = args.libraries.split(",")
    if device["platform"] != "gpu" and not args.smoke:
        libraries = [name for name in libraries if name != "torch"]
    rows = []
    for size in sizes:
        config = MINIATURE
        if not args.smoke:
            config = MODELS[f"depth-anything-v2-{size}"].config
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), config)
            for batch in batches:
                rng = np.random.default_rng(batch)
                pixels = rng.standard_normal((batch, side, side, 3), np.float32)
                np.save(Path(folder) / "pixels.npy", pixels)
                found = []
                for library in libraries:
                    wanted = ROWS[library]
                    if library == "jax" and device["platform"] == "tpu":
                        wanted = (*wanted, "bf16-flash")
                    if library == "torch" and args.smoke:
                        wanted = ("f32",)
                    found += run_worker(library, Path(folder), args.seconds, wanted)
                work = forward_flops(config, side, side)
                common = {"size": size, "batch": batch, "side": side, "flops": work}
                rows += [finish(common | row, device, folder) for row in found]
                for row in rows[-len(found) :]:
                    print(line(row), flush=True)
    report = {
        "date": datetime.date.today().isoformat(),
        "device": device,
        "machine": describe(),
        "versions": versions(),
        "rows": rows,
    }
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{args.output}.json").write_text(json.dumps(report, indent=1) + "\n")
        Path(f"{args.output}.md").write_text(markdown(report))


def ask_device() -> dict[str, Any]:
    """Return what jax computes on, asked of another process: it holds the device."""
    code = (
        "import jax, json; d = jax.devices()[0]; s = d.memory_stats() or {}; "
        "print(json.dumps({'platform': d.platform, 'kind': d.device_kind, "
        "'count': jax.device_count(), 'memory': s.get('bytes_limit'), "
        "'runtime': d.client.platform_version}))"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=environment())
    if run.returncode:
        raise SystemExit(f"jax finds no device:\n{run.stderr}")
    device = json.loads(run.stdout.splitlines()[-1])
    name = next((KINDS[kind] for kind in KINDS if kind in device["kind"]), None)
    device["peak_flops"] = ACCELERATORS[name].flops if name else None
    return device


def prepare(folder: Path, config: ModelConfig) -> None:
    """Write the same random weights for both libraries, in a process of its own.

    On the CPU: this process must not hold the accelerator.
    """
    code = (
        "import sys, jax, pathlib, jax_depth, jax_depth_convert as convert\n"
        "from jax_depth import checkpoint\n"
        "from jax_depth.config import from_json\n"
        "folder = pathlib.Path(sys.argv[1]); config = from_json(sys.argv[2])\n"
        "params = jax.device_get(jax_depth.init(config, jax.random.key(0)))\n"
        "checkpoint.save(folder / 'native', params, config)\n"
        "convert.write_transformers_folder(params, config, folder / 'transformers')\n"
    )
    from jax_depth.config import to_json

    # transformers resizes the position embedding without the offset.
    encoder = dataclasses.replace(config.encoder, position_offset=0.0)
    text = to_json(dataclasses.replace(config, encoder=encoder))
    env = environment({"JAX_PLATFORMS": "cpu"})
    subprocess.run([sys.executable, "-c", code, folder, text], check=True, env=env)


def run_worker(
    library: str, folder: Path, seconds: float, rows: tuple[str, ...]
) -> list[dict]:
    """Return a library's rows; what it lacks or cannot do is a row with a problem."""
    worker = Path(__file__).with_name("device_worker.py")
    command = [sys.executable, worker, library, folder, str(seconds), *rows]
    run = subprocess.run(command, capture_output=True, text=True, env=environment())
    replies = [json.loads(text) for text in run.stdout.splitlines() if text[:1] == "{"]
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        done = {reply["row"] for reply in replies}
        replies += [{"row": r, "problem": last} for r in rows if r not in done]
    return [{"library": library} | reply for reply in replies]


def finish(row: dict, device: dict, folder: str) -> dict:
    """Add figures per picture and the distance from this library's float32."""
    if "problem" in row:
        return row
    median = statistics.median(row["seconds"])
    row["ms_per_image"] = 1e3 * median / row["batch"]
    row["images_per_second"] = row["batch"] / median
    peak = device["peak_flops"]
    row["mfu"] = row["flops"] * row["batch"] / median / peak if peak else None
    reference = np.load(Path(folder) / "depth-jax-f32.npy")
    found = np.load(Path(folder) / f"depth-{row['library']}-{row['row']}.npy")
    row["difference"] = float(np.abs(found - reference).max() / reference.std())
    return row


def line(row: dict) -> str:
    """Return one line of the table."""
    cells = [row["size"], str(row["batch"]), row["library"], row["row"]]
    if "problem" in row:
        return "| " + " | ".join([*cells, row["problem"], "", "", ""]) + " |"
    mfu = "-" if row["mfu"] is None else f"{row['mfu']:.0%}"
    cells += [f"{row['ms_per_image']:.3f}", f"{row['images_per_second']:.1f}"]
    return "| " + " | ".join([*cells, mfu, f"{row['difference']:.1e}"]) + " |"


def markdown(report: dict) -> str:
    """Return the table under a heading that says what it ran on."""
    device, machine = report["device"], report["machine"]
    packages = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    heading = (
        "| size | batch | library | row | ms/image | images/s | MFU | difference |\n"
        "| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |\n"
    )
    return (
        f"# {device['kind']}, {report['date']}\n\n"
        f"{device['count']} x {device['kind']} ({device['runtime']}); "
        f"{machine['cpu']}, {machine['cores']} cores. {packages}.\n\n"
        "Pixels to depth, weights and pixels on the device, median of groups of calls. "
        "MFU is analytic FLOPs over the dense bfloat16 rate of the datasheet, in every "
        "row. The difference is the greatest from this library's float32, in standard "
        f"deviations of it.\n\n{heading}" + "\n".join(map(line, report["rows"])) + "\n"
    )
