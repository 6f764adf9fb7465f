"""The named tables of `docs/performance.md`."""

from collections.abc import Mapping

from benchmarks.catalog import CONTENDERS
from benchmarks.plan import Plan

_S, _B, _L = (f"depth-anything-v2-{size}" for size in ("small", "base", "large"))

# Everyone in the first table; what it settles is left out of the others.
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
    "openvino-f32",
)
_FEW = ("transformers-f32", "jax-f32-keep", "jax-openvino-f32")
_PLAIN = ("transformers-f32", "jax-f32-keep", "jax-bf16-keep", "jax-openvino-f32")
_PEER = "transformers-pipeline-f32"
_OWN = ("jax-predict-f32", "jax-predict-f32-cold")
_TRAIN = ("torch-train-f32", "torch-train-bf16", "jax-train-f32", "jax-train-bf16")


def _square(
    model: str, side: int, rounds: int, names: tuple[str, ...] | None, **options
) -> Plan:
    return Plan(model, (side, side), rounds=rounds, contenders=names, **options)


# The most telling come first, so that a suite cut short has measured what matters.
# About twenty-five minutes on two cores.
FULL: Mapping[str, Plan] = {
    "small-518": _square(_S, 518, 5, _ALL_518),
    "base-518": _square(_B, 518, 3, _MAIN),
    "start-small": Plan(_S, rounds=3, job="start", contenders=(_PEER, *_OWN)),
    "start-tiny": Plan("tiny", rounds=3, job="start", contenders=_OWN),
    "folder-small": Plan(
        _S,
        rounds=1,
        job="folder",
        contenders=(_PEER, "jax-predict-f32", "jax-predict-openvino-f32"),
    ),
    "small-784": _square(_S, 784, 3, _PLAIN),
    "small-1036": _square(_S, 1036, 2, (*_FEW, "jax-f32-one-pass")),
    "small-518-batch-4": _square(_S, 518, 3, _FEW, batch=4),
    "large-518": _square(_L, 518, 2, _PLAIN),
    "train-tiny-224": _square("tiny", 224, 3, _TRAIN, batch=4, job="train"),
    "train-small-224": _square(
        _S, 224, 3, (*_TRAIN, "jax-train-f32-remat"), batch=2, job="train"
    ),
    "small-518-batch-8": _square(_S, 518, 2, _FEW, batch=8),
    "small-266": _square(_S, 266, 5, _PLAIN),
    "tiny-256": _square("tiny", 256, 7, ("jax-f32", "jax-f32-keep", "jax-bf16-keep")),
}
# About ten minutes more.
MORE: Mapping[str, Plan] = {
    "train-small-518": _square(
        _S,
        518,
        2,
        (*_TRAIN, "jax-train-f32-remat"),
        job="train",
    ),
    "small-4k": Plan(
        _S, (2160, 3840), rounds=1, job="start", contenders=("jax-predict-f32-cold",)
    ),
}
QUICK: Mapping[str, Plan] = {
    "tiny-224": _square("tiny", 224, 3, ("jax-f32", "jax-f32-keep")),
    "small-140": _square(_S, 140, 3, ("transformers-f32", "jax-f32", "jax-f32-keep")),
}
SUITES: Mapping[str, Mapping[str, Plan]] = {"full": FULL, "more": MORE, "quick": QUICK}
