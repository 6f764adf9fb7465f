"""The named tables of `docs/performance.md`."""

from collections.abc import Mapping

from jax_depth.bench.catalog import CONTENDERS
from jax_depth.bench.plan import Plan

_S, _B, _L = (f"depth-anything-v2-{size}" for size in ("small", "base", "large"))

# Everyone, for the first table; what it settles is left out of the others.
_ALL_518 = tuple(
    name
    for name in CONTENDERS["forward"]
    if name not in ("jax-bf16-one-pass", "jax-bf16-blocked")
)
_MAIN = (
    "transformers-f32",
    "transformers-bf16",
    "jax-f32",
    "jax-f32-keep",
    "jax-bf16-keep",
    "jax-openvino-f32",
    "jax-openvino-bf16",
    "onnxruntime-f32",
    "openvino-f32",
)
_FEW = ("transformers-f32", "jax-f32-keep", "jax-openvino-f32")
_ATTENTION = (
    "transformers-f32",
    "jax-f32-keep",
    "jax-f32-one-pass",
    "jax-bf16-keep",
    "jax-openvino-f32",
)
_START = ("jax-predict-f32", "jax-predict-f32-cold")


def _square(
    model: str, side: int, rounds: int, names: tuple[str, ...] | None, **options
) -> Plan:
    return Plan(model, (side, side), rounds=rounds, contenders=names, **options)


# Most telling first: a suite that is cut short has measured what matters. Some twenty
# minutes on two cores.
FULL: Mapping[str, Plan] = {
    "small-518": _square(_S, 518, 5, _ALL_518),
    "base-518": _square(_B, 518, 3, _MAIN),
    "start-small": Plan(
        _S, rounds=3, job="start", contenders=("transformers-pipeline-f32", *_START)
    ),
    "start-tiny": Plan("tiny", rounds=3, job="start", contenders=_START),
    "folder-small": Plan(
        _S,
        rounds=1,
        job="folder",
        contenders=("transformers-pipeline-f32", "jax-predict-f32"),
    ),
    "train-small-224": _square(
        _S,
        224,
        3,
        (
            "torch-train-f32",
            "torch-train-bf16",
            "jax-train-f32",
            "jax-train-f32-remat",
            "jax-train-bf16",
        ),
        batch=2,
        job="train",
    ),
    "train-tiny-224": _square(
        "tiny", 224, 3, ("torch-train-f32", "jax-train-f32"), batch=4, job="train"
    ),
    "small-784": _square(_S, 784, 3, _ATTENTION),
    "small-1036": _square(_S, 1036, 2, _ATTENTION),
    "small-518-batch-4": _square(_S, 518, 3, _FEW, batch=4),
    "large-518": _square(_L, 518, 2, _FEW),
}
# Some six minutes more.
MORE: Mapping[str, Plan] = {
    "small-266": _square(_S, 266, 5, _MAIN),
    "small-518-batch-8": _square(_S, 518, 2, _FEW, batch=8),
    "train-small-518": _square(
        _S,
        518,
        2,
        ("torch-train-f32", "jax-train-f32", "jax-train-f32-remat"),
        job="train",
    ),
    "tiny-256": _square("tiny", 256, 7, ("jax-f32", "jax-f32-keep", "jax-bf16-keep")),
}
QUICK: Mapping[str, Plan] = {
    "tiny-224": _square("tiny", 224, 3, ("jax-f32", "jax-f32-keep")),
    "small-140": _square(_S, 140, 3, ("transformers-f32", "jax-f32", "jax-f32-keep")),
}
SUITES: Mapping[str, Mapping[str, Plan]] = {"full": FULL, "more": MORE, "quick": QUICK}
