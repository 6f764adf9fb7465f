"""Maps the global names in a `torch.save` pickle to plain values, nothing callable.

A global name in a pickle asks the reader to import and call that object. Here it is
looked up in a table of this file instead, and what the table builds is a description.

Upstream: torch `_weights_only_unpickler.py` (`_get_allowed_globals`), `_utils.py`.
"""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from jax_depth_convert.pickle_values import (
    MAX_KEY,
    MAX_RANK,
    Encoded,
    Name,
    NumpyArray,
    NumpyDtype,
    Opaque,
    Record,
    Refused,
    Sequence,
    Storage,
    Tensor,
    a_kind_of,
    is_count,
    kind_of,
    shown,
)

_STORAGES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
    "QInt8Storage": np.dtype("i1"),
    "QUInt8Storage": np.dtype("u1"),
    "QInt32Storage": np.dtype("<i4"),
    "ComplexFloatStorage": np.dtype("<c8"),
    "ComplexDoubleStorage": np.dtype("<c16"),
}
# Storages without a type, of which `_rebuild_tensor_v3` makes the newer dtypes.
_UNTYPED = np.dtype("V1")

_V3_DTYPES: dict[str, np.dtype] = {
    "torch.float64": np.dtype("<f8"),
    "torch.float32": np.dtype("<f4"),
    "torch.float16": np.dtype("<f2"),
    "torch.bfloat16": np.dtype(ml_dtypes.bfloat16),
    "torch.float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "torch.float8_e4m3fnuz": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "torch.float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "torch.float8_e5m2fnuz": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "torch.float8_e8m0fnu": np.dtype(ml_dtypes.float8_e8m0fnu),
    "torch.int64": np.dtype("<i8"),
    "torch.int32": np.dtype("<i4"),
    "torch.int16": np.dtype("<i2"),
    "torch.int8": np.dtype("i1"),
    "torch.uint64": np.dtype("<u8"),
    "torch.uint32": np.dtype("<u4"),
    "torch.uint16": np.dtype("<u2"),
    "torch.uint8": np.dtype("u1"),
    "torch.bool": np.dtype("?"),
    "torch.complex64": np.dtype("<c8"),
    "torch.complex128": np.dtype("<c16"),
}


def rebuild_storage(pid: Any) -> Storage:
    """Return the storage that a persistent id names.

    Upstream: `("storage", type, key, location, count)`; files before torch 0.4 add
    a view, which is None.
    """
    known = isinstance(pid, tuple) and len(pid) in (5, 6)
    if not known or type(pid[0]) is not str or pid[0] != "storage":
        raise Refused("damaged (refers to something that is not a tensor's storage)")
    _, name, key, _, count, *view = pid
    # Storages were called by their number before torch 1.6 gave them names.
    dtype = _storage_dtype(name)
    if dtype is None or type(key) is not str or len(key) > MAX_KEY:
        raise Refused("damaged (describes a malformed storage)")
    if not is_count(count) or any(part is not None for part in view):
        raise Refused("damaged (describes a malformed storage)")
    return Storage(key, dtype, count)


def _storage_dtype(name: Any) -> np.dtype | None:
    if not isinstance(name, Name):
        return None
    module, _, last = name.text.rpartition(".")
    if last in ("UntypedStorage", "_UntypedStorage"):
        return _UNTYPED
    return _STORAGES.get(last) if module in ("torch", "torch.cuda") else None


def _tensor(storage, dtype, offset, shape, stride) -> Tensor:
    """Return a tensor after checking its fields' types; `pth_reader` checks values."""
    sizes = isinstance(shape, tuple) and isinstance(stride, tuple)
    if not sizes or not len(shape) == len(stride) <= MAX_RANK:
        raise Refused("damaged (describes a malformed tensor)")
    if not isinstance(storage, Storage) or dtype is None:
        raise Refused("damaged (describes a malformed tensor)")
    if not all(is_count(n) for n in (offset, *shape, *stride)):
        raise Refused("damaged (describes a malformed tensor)")
    return Tensor(storage, dtype, offset, shape, stride)


def _tensor_v2(
    storage=None, offset=None, shape=None, stride=None, _grad=None, _hooks=None, *more
) -> Tensor | Opaque:
    dtype = storage.dtype if isinstance(storage, Storage) else None
    return _as_stored(more) or _tensor(storage, dtype, offset, shape, stride)


def _tensor_v3(storage, offset, shape, stride, _grad, _hooks, dtype, *more) -> Any:
    known = _V3_DTYPES.get(dtype.text) if isinstance(dtype, Name) else None
    if known is None:
        return Opaque(f"tensor of {kind_of(dtype)}")
    return _as_stored(more) or _tensor(storage, known, offset, shape, stride)


def _as_stored(more: tuple) -> Opaque | None:
    """Describe a tensor whose values differ from the stored bytes; None if they agree.

    Upstream: `torch._utils.set_tensor_metadata`, views that negate when they are read.
    """
    for metadata in more[:1]:
        flags = metadata.entries if isinstance(metadata, Record) else {}
        for flag in ("neg", "conj"):
            if flags.get(flag) not in (None, False):
                return Opaque(f"tensor that is stored as its {flag} view (clone it)")
    return None


def _parameter(tensor: Any, *_) -> Any:
    if not isinstance(tensor, Tensor | Opaque):
        raise Refused("damaged (describes a malformed tensor)")
    return tensor


def _from_type(function: Any, _kind: Any, arguments: Any, *_) -> Any:
    """Return the tensor inside a subclass or one with attributes."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise Refused("damaged (describes a malformed tensor)")
    if function.text == _WRAPPER:
        return _of_several(kind_of(arguments[0]) if arguments else "")
    if function.text not in _REBUILDS:
        raise Refused("damaged (describes a malformed tensor)")
    return _REBUILDS[function.text](*arguments)


def _of_several(name: str) -> Opaque:
    """Return a placeholder for a distributed tensor or an options object; none runs."""
    last = name.rpartition(".")[2]
    if "tensor" in last.lower():
        return Opaque(
            f"tensor of several processes ({last}; gather it with full_tensor() or "
            "`get_model_state_dict` first)"
        )
    return Opaque(last)


def _shape(items: Any = ()) -> tuple:
    if isinstance(items, Sequence):
        items = items.items
    if not isinstance(items, tuple | list) or len(items) > MAX_RANK:
        raise Refused("damaged (describes a malformed tensor)")
    return tuple(items)


_ODD_DICT = "contains a dict in a form that torch.save does not write"


def _record(items: Any = None, *_) -> Record:
    """Return an empty dict, or one with the items of a Python 2 OrderedDict."""
    record = Record()
    if isinstance(items, Sequence):
        # Once only: a long list used again and again would be copied each time.
        if items.used:
            raise Refused(_ODD_DICT)
        items.used = True
        for item in items.items:
            pair = item.items if isinstance(item, Sequence) else item
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise Refused(
                    "contains a dict in a form that torch.save does not write"
                )
            record.add(*pair)
    elif items is not None and not isinstance(items, Name):  # a defaultdict's factory
        raise Refused(_ODD_DICT)
    return record


def _numpy_dtype(code: Any = None, *_) -> NumpyDtype:
    if type(code) is not str or len(code) > 64:
        raise Refused("damaged (describes a malformed NumPy dtype)")
    return NumpyDtype(code)


def _numpy_buffer(payload=None, dtype=None, shape=None, order=None, *_) -> NumpyArray:
    """Return an array pickled with protocol 5; permuted axes are not supported."""
    known = order in ("C", "F")
    return NumpyArray((1, shape, dtype, order == "F", payload) if known else ())


def _encode(text: Any = None, encoding: Any = None, *_) -> Encoded:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("contains bytes in a form that pickle does not write")
    return Encoded(text)


_REBUILDS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
}


_WRAPPER = "torch._utils._rebuild_wrapper_subclass"
# Tensors over several processes, and their meshes.
_DISTRIBUTED = "torch.distributed."
# Options of training scripts; typing is what omegaconf keeps their types by.
_OPTIONS = ("omegaconf.", "typing.")
# Dicts with another name.
_DICTS = (
    *("easydict.EasyDict", "addict.addict.Dict", "yacs.config.CfgNode"),
    *("mmengine.config.config.ConfigDict", "mmcv.utils.config.ConfigDict"),
    *("pytorch_lightning.utilities.parsing.AttributeDict",),
    *("lightning.fabric.utilities.data.AttributeDict",),
    *("lightning_fabric.utilities.data.AttributeDict",),
)


def _opaque(kind: str) -> Callable[..., Opaque]:
    return lambda *_: Opaque(kind)


def _opaque_names(module: str, names: str) -> dict[str, Callable[..., Opaque]]:
    return {f"{module}.{name}": _opaque(name) for name in names.split()}


# What a name makes of the arguments that the pickle gives it.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_REBUILDS,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._utils._rebuild_sparse_tensor": _opaque(
        "sparse tensor (_rebuild_sparse_tensor)"
    ),
    "torch._utils._rebuild_qtensor": _opaque("quantized tensor (_rebuild_qtensor)"),
    "torch._utils._rebuild_nested_tensor": _opaque(
        "nested tensor (_rebuild_nested_tensor)"
    ),
    "torch._utils._rebuild_meta_tensor_no_storage": _opaque(
        "tensor without values (_rebuild_meta_tensor_no_storage)"
    ),
    _WRAPPER: _opaque("tensor without values (_rebuild_wrapper_subclass)"),
    "torch._utils._rebuild_device_tensor_from_numpy": _opaque("tensor of a device"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _opaque(
        "tensor of a device"
    ),
    "torch.Size": _shape,
    "torch.serialization._get_layout": _opaque("layout"),
    "collections.OrderedDict": _record,
    "collections.defaultdict": _record,
    "collections.Counter": _opaque("Counter"),
    **{name: lambda *_: Record() for name in _DICTS},
    "_codecs.encode": _encode,
    "numpy.dtype": _numpy_dtype,
    "numpy._core.multiarray.scalar": _opaque("numpy scalar"),
    "numpy._core.multiarray._reconstruct": lambda *_: NumpyArray(),
    "numpy._core.numeric._frombuffer": _numpy_buffer,
    # Written by tools of training scripts: options, paths, dates.
    "argparse.Namespace": _opaque("Namespace"),
    "types.SimpleNamespace": _opaque("SimpleNamespace"),
    "torch.device": _opaque("torch.device"),
    **_opaque_names("collections", "deque"),
    **_opaque_names("builtins", "set frozenset complex bytearray range xrange slice"),
    **_opaque_names(
        "pathlib",
        "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath",
    ),
    **_opaque_names("datetime", "datetime date time timedelta timezone"),
    "decimal.Decimal": _opaque("Decimal"),
    "fractions.Fraction": _opaque("Fraction"),
    "uuid.UUID": _opaque("UUID"),
    "torch.torch_version.TorchVersion": _opaque("TorchVersion"),  # `torch.__version__`
    "array.array": _opaque("array"),
}
# Names that stand for themselves.
_TORCH_CONSTANTS = frozenset(
    [name.removeprefix("torch.") for name in _V3_DTYPES]
    + [f"{kind}int{bits}" for kind in ("", "u") for bits in range(1, 8)]
    + ["float", "double", "half", "complex32", "quint8", "qint8", "qint32"]
    + ["quint4x2", "quint2x4", "bits8", "bits16", "float4_e2m1fn_x2", "Tensor"]
    + ["per_tensor_affine", "per_tensor_symmetric", "per_channel_affine"]
    + ["per_channel_symmetric", "per_channel_affine_float_qparams"]
    + ["contiguous_format", "channels_last", "channels_last_3d", "preserve_format"]
)
_BUILTIN_CONSTANTS = frozenset(
    "int long float bool str bytes list dict tuple object Ellipsis "
    "NotImplemented".split()
)
_NUMPY_CONSTANTS = frozenset(
    "ndarray bool bool_ float16 float32 float64 complex64 complex128 int8 int16 int32 "
    "int64 uint8 uint16 uint32 uint64".split()
)
# Other places of today's names: Python 2, NumPy 1, Python 3.13's pathlib.
_MOVED = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "pathlib._local": "pathlib",
    "torch._storage": "torch.storage",
}


def look_up(module: str, name: str) -> Name:
    """Return a name of the table.

    Raises:
        Refused: the table does not have it.
    """
    module = _MOVED.get(module, module)
    full = f"{module}.{name}"
    known = (
        full in _FUNCTIONS
        or full.startswith((_DISTRIBUTED, *_OPTIONS))
        or (module == "torch" and (name in _TORCH_CONSTANTS or name in _STORAGES))
        or (module == "torch.cuda" and name in _STORAGES)
        or (module in ("torch", "torch.storage") and name in _UNTYPED_NAMES)
        or (module == "builtins" and name in _BUILTIN_CONSTANTS)
        or (module == "numpy" and name in _NUMPY_CONSTANTS)
    )
    if not known:
        raise Refused(
            f"refers to {shown(full)}, which is not part of a tensor and will not be "
            "run; save the weights alone: torch.save(model.state_dict(), path), or as "
            "safetensors"
        )
    return Name(full)


_UNTYPED_NAMES = ("UntypedStorage", "_UntypedStorage")


def apply(name: Any, arguments: Any) -> Any:
    """Apply a name to its arguments and return the result.

    Raises:
        Refused: not a function of the table, or not the arguments torch writes.
    """
    function = _FUNCTIONS.get(name.text) if isinstance(name, Name) else None
    if isinstance(name, Name) and name.text.startswith((_DISTRIBUTED, *_OPTIONS)):
        return _of_several(name.text)
    if function is None or type(arguments) is not tuple or len(arguments) > 256:
        raise Refused(f"calls {a_kind_of(name)}, which torch.save never does")
    try:
        return function(*arguments)
    except TypeError:  # too few arguments
        raise Refused("damaged (describes a malformed tensor)") from None


def build(target: Any, state: Any) -> None:
    """Set the state of an object that has one; tensors and names are immutable.

    Raises:
        Refused: the object has no state, or has it already.
    """
    if isinstance(target, Record | Opaque):
        return  # `_metadata` of an OrderedDict, the options in a Namespace
    if isinstance(target, NumpyDtype | NumpyArray) and target.state is None:
        if isinstance(state, tuple) and len(state) <= 16:
            target.state = state
            return
    raise Refused(f"modifies {a_kind_of(target)}, which torch.save never does")
