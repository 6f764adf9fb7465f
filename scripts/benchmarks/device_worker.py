"""One library of devices.py in a process of its own, on one size and batch.

    python device_worker.py jax FOLDER SECONDS ROW [ROW ...]

FOLDER holds `native`, `transformers` and `pixels.npy`. A row is a precision, f32, tf32
or bf16, and how: "f32", "bf16-flash", "tf32-compile". Each prints one line of JSON.
Weights and pixels lie on the device; what is timed is pixels to depth, again and again.
"""

import contextlib
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from accelerator_work import groups


def main(library: str, folder: str, seconds: str, *rows: str) -> None:
    """Measure rows and print them."""
    make = {"jax": jax_rows, "torch": torch_rows}[library]
    for row, run, wait, context in make(Path(folder), rows):
        try:
            with context:
                first = time.perf_counter()
                depth = wait(run())
                first = time.perf_counter() - first
                times = groups(run, wait, float(seconds))
            file = Path(folder) / f"depth-{library}-{row}.npy"
            np.save(file, np.asarray(depth, np.float32))
            reply = {"row": row, "first_call": first, "seconds": times}
        except Exception as error:
            # One row out of memory says nothing about the next.
            text = str(error).strip().splitlines() or [""]
            reply = {"row": row, "problem": f"{type(error).__name__}: {text[0][:200]}"}
        print(json.dumps(reply), flush=True)


Row = tuple[str, Callable[[], Any], Callable[[Any], Any], Any]


def jax_rows(folder: Path, rows: tuple[str, ...]) -> Iterator[Row]:
    """Yield this library's rows."""
    import jax

    from jax_depth import checkpoint
    from jax_depth.models.depth_anything import forward

    params, config = checkpoint.load(folder / "native")
    params = jax.device_put(params)
    pixels = jax.device_put(np.load(folder / "pixels.npy"))
    for row in rows:
        precision, _, how = row.partition("-")
        dtype = "bfloat16" if precision == "bf16" else "float32"
        encoder = dataclasses.replace(config.encoder, attention=how or "auto")
        chosen = dataclasses.replace(config, dtype=dtype, encoder=encoder)
        run = jax.jit(functools.partial(forward, config=chosen))
        tf32 = jax.default_matmul_precision("tensorfloat32")
        context = tf32 if precision == "tf32" else contextlib.nullcontext()
        call = functools.partial(run, params, pixels)
        yield row, call, jax.block_until_ready, context


def torch_rows(folder: Path, rows: tuple[str, ...]) -> Iterator[Row]:
    """Yield transformers' rows, eager or compiled.

    Its encoder takes scaled_dot_product_attention unasked; asked, the model refuses.
    """
    import torch
    from transformers import AutoModelForDepthEstimation

    device = "cuda" if torch.cuda.is_available() else "cpu"
    pixels = torch.from_numpy(np.load(folder / "pixels.npy")).permute(0, 3, 1, 2)
    pixels = pixels.contiguous().to(device)

    def wait(depth):
        if device == "cuda":
            torch.cuda.synchronize()
        return depth.float().cpu().numpy()

    for row in rows:
        precision, _, how = row.partition("-")
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        model: Any = AutoModelForDepthEstimation.from_pretrained(
            folder / "transformers", dtype=dtype
        )
        model = model.to(device).eval()
        torch.compiler.reset()
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True
        run = torch.compile(model) if how == "compile" else model
        given = pixels.to(dtype)
        call = lambda run=run, given=given: run(given).predicted_depth
        yield row, call, wait, torch.inference_mode()
        del model, run, call


if __name__ == "__main__":
    main(*sys.argv[1:])
