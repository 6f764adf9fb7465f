"""What accelerators could do at best, from a network's work and datasheets."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.table import grid

_MODELS = tuple(f"depth-anything-v2-{size}" for size in ("small", "base", "large"))
_BATCH, _SIDE = 32, 518
# The number of pictures that Depth Anything labelled (arXiv:2401.10891), and the shares
# of the best possible speed that such programs reach on such chips.
_PICTURES = 62e6
_SHARES = (0.3, 0.5)

_HEADINGS = (
    "model",
    "chip",
    "attention",
    "GFLOP/img",
    "MB/img",
    "bound by",
    "least ms/img",
    *(f"img/s at {share:.0%}" for share in _SHARES),
    *(f"62 M: chip-hours at {share:.0%}" for share in _SHARES),
    *(f"USD at {share:.0%}" for share in _SHARES),
)


def compute() -> list[dict[str, Any]]:
    """Return work and least time of S, B and L on every chip, one dict per row."""
    # Late, since they import jax, which measuring does without.
    from benchmarks.accelerators import ACCELERATORS
    from benchmarks.roofline import forward_work
    from jax_depth.catalog import MODELS
    from jax_depth.config import EncoderConfig

    rows = []
    for name in _MODELS:
        for attention in ("one_pass", "flash"):
            config = dataclasses.replace(MODELS[name].config, dtype="bfloat16")
            assert isinstance(config.encoder, EncoderConfig)
            encoder = dataclasses.replace(config.encoder, attention=attention)
            config = dataclasses.replace(config, encoder=encoder)
            work = forward_work(config, _BATCH, (_SIDE, _SIDE))
            for chip in ACCELERATORS.values():
                if attention == "flash" and chip.platform != "tpu":
                    continue  # the kernel exists for TPUs only
                rows.append(
                    {
                        "model": name,
                        "chip": chip.title,
                        "attention": attention,
                        "flops": work.flops,
                        "bytes": work.bytes,
                        "arithmetic": work.flops / chip.flops,
                        "memory": work.bytes / chip.bandwidth,
                        "dollars_per_hour": chip.dollars_per_hour,
                        "source": chip.source,
                    }
                )
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the section of the page."""
    prices = {row["chip"]: (row["dollars_per_hour"], row["source"]) for row in rows}
    lines = [
        "## Accelerators: estimates from datasheets",
        "",
        "Computed, not measured: the work of a forward pass in bfloat16 at "
        f"{_SIDE} x {_SIDE}, batch {_BATCH}, against the rates in datasheets. (An H100 "
        "was measured later, see [Accelerators](accelerators.md): with fused attention "
        "it is faster than the rows below, which have none for it.) Only matrix "
        "products and convolutions are counted; each reads its operands and writes its "
        "result once. one_pass writes attention's logits to memory, flash does not (a "
        "kernel for TPUs). The columns assume that a program reaches 30 % or 50 % of "
        "the speed of the least time. The last ones are the cost of labelling 62 "
        "million pictures, as many as Depth Anything did, at an assumed price; "
        "[Several hosts](multi-host.md) estimates the same with V2 Giant.",
        "",
        grid(_HEADINGS, [_cells(row) for row in rows]),
        "",
    ]
    for chip, (dollars, source) in prices.items():
        lines.append(
            f"- {chip}: assumed price {dollars:.2f} USD per chip-hour; peak FLOP/s and "
            f"bandwidth from {source}"
        )
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    least = max(row["arithmetic"], row["memory"])
    hours = [_PICTURES * least / share / 3600 for share in _SHARES]
    return [
        row["model"],
        row["chip"],
        row["attention"],
        f"{row['flops'] / 1e9:.0f}",
        f"{row['bytes'] / 1e6:.0f}",
        "memory" if row["memory"] > row["arithmetic"] else "arithmetic",
        f"{least * 1e3:.2f}",
        *(f"{share / least:.0f}" for share in _SHARES),
        *(f"{hour:.0f}" for hour in hours),
        *(f"{hour * row['dollars_per_hour']:.0f}" for hour in hours),
    ]
