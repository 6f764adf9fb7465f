"""What a `torch.save` pickle holds, as plain values.

A tensor is represented by where its bytes are, a device or a path by an opaque word.
Nothing refers to a class of torch or NumPy, nothing is shared between two files, and no
number is trusted: `pth_reader` checks them when it views the bytes.
"""

import dataclasses
from typing import Any

import numpy as np

MAX_RANK = 32
MAX_KEY = 1000  # characters; the longest published key has 80
_NUMPY_CODES = frozenset(
    "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 c8 c16 b1".split()  # as `numpy.dtype` pickles
)


class Refused(Exception):
    """A pickle is refused; the caller adds the file's name to the message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A name of the table: a function or class to apply, or a constant."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """Where a tensor's bytes are: `count` items of `dtype` under `key`."""

    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the file describes it; offset and strides count items of `dtype`."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Opaque:
    """Data that is neither an array nor a dict, such as a path or a sparse tensor."""

    kind: str


@dataclasses.dataclass(slots=True, eq=False)
class Record:
    """A dict: the entries whose keys are strings, and one example of another."""

    entries: dict[str, Any] = dataclasses.field(default_factory=dict)
    foreign: tuple[str, Any] | None = None

    def add(self, key: Any, value: Any) -> None:
        """Enter one item; keys other than strings are never hashed."""
        if type(key) is str:
            if len(key) > MAX_KEY:
                raise Refused(f"has a key of {len(key)} characters ({shown(key)})")
            self.entries[key] = value
        elif self.foreign is None or isinstance(value, Tensor):
            plain = type(key) in (int, float, bool, type(None))
            self.foreign = (shown(key) if plain else kind_of(key), value)


@dataclasses.dataclass(slots=True, eq=False)
class Sequence:
    """A list; `used` once a dict was made of it."""

    items: list[Any] = dataclasses.field(default_factory=list)
    used: bool = False


@dataclasses.dataclass(slots=True, eq=False)
class NumpyDtype:
    """A `numpy.dtype`: its code, and the state that one BUILD adds."""

    code: str
    state: tuple | None = None

    def resolve(self) -> np.dtype | None:
        """Return the dtype, or None of one that is not a plain number."""
        order = self.state[1] if self.state and len(self.state) > 1 else "<"
        if order not in ("<", ">", "|") or self.code not in _NUMPY_CODES:
            return None
        return np.dtype(self.code).newbyteorder(order)


@dataclasses.dataclass(slots=True, eq=False)
class NumpyArray:
    """A `numpy.ndarray`, described by the state that one BUILD adds."""

    state: tuple | None = None

    def describe(self) -> tuple[np.dtype, tuple[int, ...], bool, Any] | None:
        """Return dtype, shape, whether in Fortran order, and what holds the bytes."""
        if self.state is None or len(self.state) != 5:
            return None
        _, shape, dtype, fortran, payload = self.state
        dtype = dtype.resolve() if isinstance(dtype, NumpyDtype) else None
        sizes = isinstance(shape, tuple) and len(shape) <= MAX_RANK
        if dtype is None or not sizes or not all(map(is_count, shape)):
            return None
        return dtype, shape, fortran is True, payload


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes that a pickle of protocol 2 spells as text, one character each."""

    text: str

    def to_bytes(self) -> bytes | None:
        """Return the bytes, or None of a text that spells none."""
        try:
            return self.text.encode("latin-1")
        except UnicodeEncodeError:
            return None


def kind_of(value: Any) -> str:
    """Return what a value is, for a message."""
    if isinstance(value, Opaque):
        return value.kind
    if isinstance(value, Name):
        return value.text
    known = {
        Record: "dict",
        Sequence: "list",
        Tensor: "tensor",
        Storage: "storage",
        NumpyArray: "numpy array",
        NumpyDtype: "numpy.dtype",
        Encoded: "bytes",
    }
    return known.get(type(value), type(value).__name__)


def a_kind_of(value: Any) -> str:
    """Return `kind_of` with its article, for a message."""
    kind = kind_of(value)
    if value is None:
        return "None"
    if isinstance(value, Name) or kind == "bytes":
        return kind
    return f"{'an' if kind[0] in 'aeioAEIO' else 'a'} {kind}"


def shown(value: Any, most: int = 80) -> str:
    """Return a string or a number as a message may show it: escaped and short."""
    if isinstance(value, str) and len(value) > most:
        value = value[: most - 20] + "…" + value[-16:]
    text = repr(value)
    return text if len(text) <= 2 * most else text[: 2 * most] + "…"


def is_count(value: Any) -> bool:
    """Whether a value is a whole number that can be a size or an offset."""
    return type(value) is int and 0 <= value < 1 << 63
