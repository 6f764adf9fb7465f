"""A restricted unpickler: only the opcodes of a state dict, giving `pickle_values`.

Nothing in the file can cause an import, a call or an allocation of a size that it
states: strings and bytes are slices of the file, every opcode makes at most one small
value, and the number of opcodes is bounded. So time and memory are bounded by the
file's size.

Upstream: Python's `Lib/pickletools.py` for the opcodes; torch
`_weights_only_unpickler.py` for which of them occur.
"""

import pickle
import struct
from collections.abc import Callable
from typing import Any

from jax_depth_convert.pickle_names import apply, build, look_up, rebuild_storage
from jax_depth_convert.pickle_values import (
    Name,
    Opaque,
    Record,
    Refused,
    Sequence,
    Storage,
    a_kind_of,
)

# An optimiser's state of the largest model here has 60,000 opcodes and 0.6 MB.
_MAX_OPCODES = 2_000_000
_MAX_BYTES = 256 << 20
# Dicts in dicts: a training script's checkpoint has five levels.
_MAX_DEPTH = 200
_MAX_NAME = 200


def unpickle(data: memoryview, start: int) -> tuple[Any, int, list[Storage]]:
    """Return what is pickled at `start`, where the pickle ends, and its storages.

    Args:
        data: the file's bytes.
        start: position of the pickle's first byte.

    Returns:
        A value of `pickle_values` (or None, a bool, int, float, str, bytes, tuple);
        the position behind the pickle; every storage it refers to, in order.

    Raises:
        Refused: it is damaged, too large, or refers to anything but data.
    """
    machine = _Machine(data, start)
    try:
        return machine.run(), machine.position, machine.storages
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise Refused(
            f"truncated or damaged ({type(error).__name__} while reading its pickle)"
        ) from None


class _Machine:
    """A stack machine: what is on the stack, below the marks, and in the memo."""

    def __init__(self, data: memoryview, start: int):
        self.data = data[: start + _MAX_BYTES]
        self.start = self.position = start
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: list[Storage] = []

    def run(self) -> Any:
        """Return the value on top when the pickle stops."""
        for _ in range(_MAX_OPCODES):
            opcode = self.data[self.position]
            self.position += 1
            if opcode == _STOP:
                return self.stack.pop()
            action = _ACTIONS.get(opcode)
            if action is None:
                raise Refused(
                    f"truncated or damaged (opcode {opcode:#04x}, which torch.save "
                    "does not write)"
                )
            action(self)
        raise Refused(
            f"its pickle has more than {_MAX_OPCODES:,} instructions; save "
            "model.state_dict() alone"
        )

    def take(self, size: int) -> memoryview:
        """Return the next `size` bytes."""
        end = self.position + size
        if end > len(self.data):
            raise IndexError
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Return the text up to the next line's end."""
        head = bytes(self.data[self.position : self.position + _MAX_NAME])
        end = head.index(b"\n") if b"\n" in head else None
        if end is None:
            raise Refused("truncated or damaged (an unterminated name)")
        self.position += end + 1
        return head[:end].decode()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        if len(self.marks) >= _MAX_DEPTH:
            raise Refused(f"damaged (nested more than {_MAX_DEPTH} deep)")
        self.marks.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        """Return what was pushed since the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def tuple_of(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2 or not isinstance(target, Record | Opaque):
            raise Refused(f"damaged (sets items of {a_kind_of(target)})")
        if isinstance(target, Opaque):
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            target.add(key, value)

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Sequence):
            target.items.extend(items)
        elif not isinstance(target, Opaque):
            raise Refused(f"damaged (appends to {a_kind_of(target)})")

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Refused("damaged (a global name is not a string)")
        self.push(look_up(module, name))

    def reduce(self) -> None:
        arguments = self.stack.pop()
        self.push(apply(self.stack.pop(), arguments))

    def new_object(self) -> None:
        """Make an object of a class: `cls.__new__(cls, *arguments)`."""
        self.reduce()

    def build(self) -> None:
        state = self.stack.pop()
        build(self.stack[-1], state)

    def persistent(self) -> None:
        storage = rebuild_storage(self.stack.pop())
        self.storages.append(storage)
        self.push(storage)

    def put(self, index: int) -> None:
        # pickle counts them; a number beyond the pickle's length is damage.
        if index > self.position - self.start:
            raise Refused(f"truncated or damaged (memo {index})")
        self.memo[index] = self.stack[-1]

    def integer(self, size: int) -> None:
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def text(self, size: int) -> None:
        self.push(str(self.take(size), "utf-8", "surrogatepass"))

    def old_text(self, size: int) -> None:
        """Push a `str` of Python 2: text if it can be."""
        raw = bytes(self.take(size))
        try:
            self.push(raw.decode())
        except UnicodeDecodeError:
            self.push(raw)


_STOP = pickle.STOP[0]


def _item(machine: _Machine) -> list[Any]:
    """Return the key and the value of SETITEM."""
    value = machine.stack.pop()
    return [machine.stack.pop(), value]


def _stack_global(machine: _Machine) -> None:
    name = machine.stack.pop()
    machine.name(machine.stack.pop(), name)


def _proto(machine: _Machine) -> None:
    if not 2 <= (version := machine.number("B")) <= 5:
        raise Refused(
            f"uses pickle protocol {version}, which torch.save does not; save it again "
            "with torch.save"
        )


_ACTIONS: dict[int, Callable[[_Machine], Any]] = {
    opcode[0]: action
    for opcode, action in {
        pickle.PROTO: _proto,
        pickle.FRAME: lambda m: m.take(8),
        pickle.MARK: lambda m: m.mark(),
        # Constants
        pickle.NONE: lambda m: m.push(None),
        pickle.NEWTRUE: lambda m: m.push(True),
        pickle.NEWFALSE: lambda m: m.push(False),
        pickle.BININT: lambda m: m.push(m.number("<i")),
        pickle.BININT1: lambda m: m.push(m.number("B")),
        pickle.BININT2: lambda m: m.push(m.number("<H")),
        pickle.LONG1: lambda m: m.integer(m.number("B")),
        pickle.BINFLOAT: lambda m: m.push(m.number(">d")),
        pickle.SHORT_BINUNICODE: lambda m: m.text(m.number("B")),
        pickle.BINUNICODE: lambda m: m.text(m.number("<I")),
        pickle.BINUNICODE8: lambda m: m.text(m.number("<Q")),
        pickle.SHORT_BINSTRING: lambda m: m.old_text(m.number("B")),
        pickle.BINSTRING: lambda m: m.old_text(m.number("<I")),
        pickle.SHORT_BINBYTES: lambda m: m.push(bytes(m.take(m.number("B")))),
        pickle.BINBYTES: lambda m: m.push(bytes(m.take(m.number("<I")))),
        pickle.BINBYTES8: lambda m: m.push(bytes(m.take(m.number("<Q")))),
        pickle.BYTEARRAY8: lambda m: m.push(bytes(m.take(m.number("<Q")))),
        # Containers
        pickle.EMPTY_TUPLE: lambda m: m.push(()),
        pickle.EMPTY_LIST: lambda m: m.push(Sequence()),
        pickle.EMPTY_DICT: lambda m: m.push(Record()),
        pickle.EMPTY_SET: lambda m: m.push(apply(Name("builtins.set"), ())),
        pickle.TUPLE: lambda m: m.push(tuple(m.to_mark())),
        pickle.TUPLE1: lambda m: m.tuple_of(1),
        pickle.TUPLE2: lambda m: m.tuple_of(2),
        pickle.TUPLE3: lambda m: m.tuple_of(3),
        pickle.FROZENSET: lambda m: m.push(
            apply(Name("builtins.frozenset"), tuple(m.to_mark()))
        ),
        pickle.APPEND: lambda m: m.add_items([m.stack.pop()]),
        pickle.APPENDS: lambda m: m.add_items(m.to_mark()),
        pickle.ADDITEMS: lambda m: m.add_items(m.to_mark()),
        pickle.SETITEM: lambda m: m.set_items(_item(m)),
        pickle.SETITEMS: lambda m: m.set_items(m.to_mark()),
        # The memo
        pickle.BINPUT: lambda m: m.put(m.number("B")),
        pickle.LONG_BINPUT: lambda m: m.put(m.number("<I")),
        pickle.MEMOIZE: lambda m: m.put(len(m.memo)),
        pickle.BINGET: lambda m: m.push(m.memo[m.number("B")]),
        pickle.LONG_BINGET: lambda m: m.push(m.memo[m.number("<I")]),
        # Names and what is made of them
        pickle.GLOBAL: lambda m: m.name(m.line(), m.line()),
        pickle.STACK_GLOBAL: _stack_global,
        pickle.REDUCE: lambda m: m.reduce(),
        pickle.NEWOBJ: lambda m: m.new_object(),
        pickle.BUILD: lambda m: m.build(),
        pickle.BINPERSID: lambda m: m.persistent(),
    }.items()
}
