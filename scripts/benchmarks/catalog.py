"""Every contender by name: the module that runs it, its options and environment."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from benchmarks.task import Work

Precision = Literal["f32", "bf16", "int8"]

# glibc returns large blocks to the system and faults them in again at every call, which
# takes a third of XLA:CPU's time. Read once, when a process starts.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}

# Greatest |difference| from the first contender's output, in its standard deviations,
# up to which a contender counts as computing the same thing. bfloat16 has 8 bits, and a
# library that rounds every activation to them loses more than one that rounds operands
# only; for int8 the bound merely tells it from a broken model.
BOUNDS: Mapping[Precision, float] = {"f32": 1e-4, "bf16": 0.2, "int8": 1.0}


@dataclasses.dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes:
        name: on the command line and in the table.
        module: what its process imports, see `contenders`.
        about: what it is, for the legend.
        precision: of its products.
        options: for the module's `load`.
        environment: of its process.
    """

    name: str
    module: str
    about: str
    precision: Precision = "f32"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def bound(self) -> float:
        """See `BOUNDS`."""
        return BOUNDS[self.precision]


_DTYPES: Mapping[Precision, str] = {"f32": "float32", "bf16": "bfloat16"}
_KEPT = "malloc keeps memory"
_ROOM = "benchmarks.contenders"


def _row(
    name: str,
    module: str,
    precision: Precision,
    about: str,
    keep: bool = True,
    **options: Any,
) -> Contender:
    """Return a contender whose `load` takes a dtype, keeping freed memory or not."""
    options = {"dtype": _DTYPES[precision], **options}
    environment = KEEP_MEMORY if keep else {}
    return Contender(name, f"{_ROOM}.{module}", about, precision, options, environment)


def _forward() -> Iterator[Contender]:
    yield _row("transformers-f32", "pytorch", "f32", f"transformers, eager; {_KEPT}")
    yield _row(
        "transformers-f32-untuned",
        "pytorch",
        "f32",
        "transformers, eager; malloc's defaults",
        False,
    )
    yield _row("transformers-bf16", "pytorch", "bf16", f"transformers, eager; {_KEPT}")
    for precision in _DTYPES:
        about = f"transformers, torch.compile; {_KEPT}"
        name = f"transformers-compile-{precision}"
        yield _row(name, "pytorch", precision, about, compiled=True)
    for precision in _DTYPES:
        name = f"jax-{precision}"
        yield _row(name, "own", precision, "this library with its defaults", keep=False)
        yield _row(f"{name}-keep", "own", precision, f"this library; {_KEPT}")
        for method in ("one_pass", "blocked"):
            about = f'this library with attention="{method}"; {_KEPT}'
            label = f"{name}-{method.replace('_', '-')}"
            yield _row(label, "own", precision, about, attention=method)
    for precision in _DTYPES:
        about = 'this library with engine="openvino"'
        name = f"jax-openvino-{precision}"
        yield _row(name, "own", precision, about, keep=False, engine="openvino")
    yield Contender(
        "onnxruntime-f32", f"{_ROOM}.onnx_runtime", "ONNX Runtime on torch's export"
    )
    for precision in BOUNDS:
        about = "OpenVINO on torch's export"
        if precision == "int8":
            about += ", quantised by NNCF"
        options = {"precision": precision}
        yield Contender(
            f"openvino-{precision}", f"{_ROOM}.open_vino", about, precision, options
        )
    yield Contender(
        "kerashub-f32",
        f"{_ROOM}.kerashub",
        f"KerasHub on its JAX backend; {_KEPT}",
        environment={"KERAS_BACKEND": "jax", **KEEP_MEMORY},
    )


def _train() -> Iterator[Contender]:
    for side, module, about in (
        ("torch", "pytorch_train", "the same step in torch (bf16: autocast)"),
        ("jax", "own_train", "this library's training step"),
    ):
        for precision in _DTYPES:
            name = f"{side}-train-{precision}"
            yield _row(name, module, precision, f"{about}; {_KEPT}")
            about_remat = f"{about}, each block recomputed; {_KEPT}"
            yield _row(f"{name}-remat", module, precision, about_remat, remat=True)


CONTENDERS: Mapping[Work, Mapping[str, Contender]] = {
    "forward": {row.name: row for row in _forward()},
    "train": {row.name: row for row in _train()},
}


def chosen(work: Work, names: Sequence[str] | None) -> list[Contender]:
    """Return contenders by name, all of them for None.

    Raises:
        ValueError: an unknown or repeated name.
    """
    known = CONTENDERS[work]
    names = list(known) if names is None else list(names)
    for name in names:
        if name not in known:
            raise ValueError(
                f"there is no contender {name!r}; known: {', '.join(known)}"
            )
    if len(set(names)) < len(names):
        raise ValueError("a contender is named twice; name each only once")
    return [known[name] for name in names]
