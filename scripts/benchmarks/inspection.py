"""Read what a compiled program needs and does from XLA's memory analysis and HLO."""

import collections
import dataclasses
import re
from collections.abc import Mapping

import jax

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
)


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Facts about a compiled program, per device.

    Attributes:
        peak_bytes: of device memory, arguments and results included.
        products: matrix products and convolutions by the dtypes of their operands,
            such as "bf16 x bf16"; a float32 one in full precision is "f32 x f32
            highest". The body of a loop counts only once.
        collectives: exchanges between devices, by kind; kinds that do not occur are
            left out.
        calls: custom calls by target, such as "tpu_custom_call" for a Pallas kernel.
    """

    peak_bytes: int
    products: Mapping[str, int]
    collectives: Mapping[str, int]
    calls: Mapping[str, int]


def inspect(compiled: jax.stages.Compiled) -> Inspection:
    """Read a compiled program; see `Inspection`."""
    text = compiled.as_text()
    memory = compiled.memory_analysis()
    assert text is not None and memory is not None
    return Inspection(memory.peak_memory_in_bytes, *count_operations(text))


def count_operations(text: str) -> tuple[dict, dict, dict]:
    """Return (products, collectives, calls) of `Inspection` from optimised HLO text."""
    products, found, calls = (collections.Counter() for _ in range(3))
    types: dict[str, str] = {}
    waiting = []
    scatter = False
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            # A TPU has no reduce-scatter instruction: a computation of this name
            # reduces and keeps one part.
            scatter = match[1].startswith("all-reduce-scatter")
            found["reduce-scatter"] += scatter
            continue
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        name, kind, operation, rest = match.groups()
        types[name] = kind
        if operation in ("dot", "convolution"):
            waiting.append((rest, "operand_precision={highest" in rest))
        elif operation == "custom-call":
            target = re.search(r'custom_call_target="([^"]+)"', rest)
            calls[target[1] if target else "?"] += 1
            if target and _PRODUCT_CALL.search(target[1]):
                waiting.append((rest, '"HIGHEST"' in rest))
        elif operation.removesuffix("-start") in COLLECTIVES and not scatter:
            found[operation.removesuffix("-start")] += 1
    for rest, highest in waiting:
        operands = _OPERAND.findall(rest.split("),")[0])[:2]
        pair = sorted(types.get(name, "?").split("[")[0] for name in operands)
        products[" x ".join(pair) + (" highest" if highest else "")] += 1
    return dict(products), {k: n for k, n in found.items() if n}, dict(calls)


_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
# A type is a word, or a tuple in brackets that ends where " operation(" begins.
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([a-z][a-z0-9\-]*)\((.*)$"
)
_OPERAND = re.compile(r"%([\w.\-]+)")
_PRODUCT_CALL = re.compile(r"cublas|cudnn\$conv|gemm")
