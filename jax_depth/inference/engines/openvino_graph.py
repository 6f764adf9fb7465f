"""A JAX function as an OpenVINO graph: its jaxpr, translated equation by equation.

`jax_depth.forward` needs some thirty primitives. Four calls of the network are
translated whole, by the name of their `jit`, to operators that OpenVINO has kernels
for: `attend`, `normalize`, `gelu` and `resize_bilinear`. Everything computed from
parameters alone is computed here and becomes a constant; parameters that are used
as they are share their memory with the graph.

Operators: OpenVINO's opset 13, https://docs.openvino.ai, "Available Operation Sets".
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import openvino as ov
from openvino import opset13 as ops

from jax_depth.inference.engines.live import live_equations
from jax_depth.inference.engines.openvino_tensor import (
    Tensor,
    constant,
    integers,
    plain_tensor,
)

_CHANNELS_FIRST = (0, 2, 3, 1)  # where axes b, h, w, c are kept


# A NumPy array is what is known while the graph is made.
_Value = np.ndarray | Tensor
_Equation = Any


def to_openvino(
    function: Callable[[Any, Any], Any], params: Any, shape: Sequence[int]
) -> ov.Model:
    """Translate `function(params, pixels)` for pixels of one shape.

    Args:
        function: traceable by JAX; its arrays out, in the order of their pytree, are
            the outputs of the graph.
        params: nested dict of float32 NumPy arrays. Those that the graph uses as they
            are stay where they are: keep them unchanged while the model is in use.
        shape: of the pixels, float32.

    Raises:
        NotImplementedError: the function uses a primitive that is not translated.
    """
    closed = jax.make_jaxpr(function)(params, jax.ShapeDtypeStruct(shape, jnp.float32))
    pixels = ops.parameter(list(shape), np.float32, name="pixels")
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    results = _run(closed, [*leaves, plain_tensor(pixels)])
    nodes = [r.plain if isinstance(r, Tensor) else constant(r) for r in results]
    make: Any = ov.Model  # its stubs describe another class of the same name
    return make(nodes, [pixels], "depth")


def _run(closed: Any, arguments: Sequence[_Value]) -> list[_Value]:
    """Translate a closed jaxpr applied to values."""
    values: dict[Any, _Value] = {}

    def read(variable) -> _Value:
        if isinstance(variable, jax.extend.core.Literal):
            return np.asarray(variable.val)
        return values[variable]

    jaxpr = closed.jaxpr
    values.update(zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))
    for equation in live_equations(jaxpr):
        results = _translate(equation, [read(v) for v in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _translate(equation: _Equation, values: list[_Value]) -> Sequence[_Value]:
    name = equation.primitive.name
    known = [value for value in values if isinstance(value, np.ndarray)]
    if len(known) == len(values):
        return _computed(equation, known)
    if name in ("jit", "pjit") and equation.params["name"] in _CALLS:
        return [_CALLS[equation.params["name"]](equation, *values)]
    for key in ("jaxpr", "call_jaxpr"):
        if key in equation.params:
            inner = equation.params[key]
            if not hasattr(inner, "consts"):  # `checkpoint` holds an open one
                inner = jax.extend.core.ClosedJaxpr(inner, ())
            return _run(inner, values)
    if name in _ELEMENTWISE:
        return [_elementwise(_ELEMENTWISE[name], values)]
    if name in _PRIMITIVES:
        return [_PRIMITIVES[name](equation, *values)]
    raise NotImplementedError(
        f"the OpenVINO engine does not translate JAX's primitive {name!r}"
    )


def _computed(equation: _Equation, values: list[np.ndarray]) -> list[np.ndarray]:
    """Compute an equation of known values; what only rearranges stays a view."""
    name, params, shape = equation.primitive.name, equation.params, _shape(equation)
    if name in _VIEWS:
        return [_VIEWS[name](values[0], params, shape)]
    if name == "convert_element_type" and values[0].dtype == params["new_dtype"]:
        return values
    results = equation.primitive.bind(*map(jnp.asarray, values), **params)
    if not equation.primitive.multiple_results:
        results = [results]
    return [np.asarray(result) for result in results]


def _slices(params: dict[str, Any]) -> tuple[slice, ...]:
    starts, stops = params["start_indices"], params["limit_indices"]
    strides = params["strides"] or [1] * len(starts)
    return tuple(map(slice, starts, stops, strides))


def _broadcast_view(x: np.ndarray, params: dict[str, Any], shape) -> np.ndarray:
    return np.broadcast_to(x.reshape(_spread(x.shape, params, len(shape))), shape)


def _spread(shape, params: dict[str, Any], rank: int) -> list[int]:
    """Return a shape with ones where `broadcast_in_dim` inserts an axis."""
    spread = [1] * rank
    for axis, size in zip(params["broadcast_dimensions"], shape, strict=True):
        spread[axis] = size
    return spread


_VIEWS: dict[str, Callable[..., np.ndarray]] = {
    "reshape": lambda x, params, shape: x.reshape(shape),
    "squeeze": lambda x, params, shape: x.reshape(shape),
    "transpose": lambda x, params, shape: x.transpose(params["permutation"]),
    "slice": lambda x, params, shape: x[_slices(params)],
    "broadcast_in_dim": _broadcast_view,
}


# Elementwise operators, which work in any order of axes.


def _square(x):
    return ops.multiply(x, x)


def _rsqrt(x):
    return ops.divide(ops.constant(np.float32(1)), ops.sqrt(x))


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": ops.add,
    "sub": ops.subtract,
    "mul": ops.multiply,
    "div": ops.divide,
    "max": ops.maximum,
    "min": ops.minimum,
    "neg": ops.negative,
    "exp": ops.exp,
    "logistic": ops.sigmoid,
    "square": _square,
    "rsqrt": _rsqrt,
    "copy": lambda x: x,
    "copy_p": lambda x: x,
    "stop_gradient": lambda x: x,
    # Of float32 to float32: parameters and pixels are, and so is every result.
    "convert_element_type": lambda x: x,
}


def _elementwise(operator: Callable[..., Any], values: list[_Value]) -> Tensor:
    first = next(value for value in values if isinstance(value, Tensor))
    # Of two orders the one that is not JAX's: it came from a convolution.
    orders = [value.order for value in values if isinstance(value, Tensor)]
    order = next((order for order in orders if order != tuple(range(len(order)))), None)
    order = order or first.order
    return Tensor(operator(*(_kept(value, order) for value in values)), order)


def _kept(value: _Value, order: tuple[int, ...]) -> Any:
    """Return a node in `order`, broadcastable where the value repeats itself."""
    if isinstance(value, Tensor):
        return value.kept(order)
    if value.ndim == 0:
        return ops.constant(value)
    once = tuple(slice(0, 1) if step == 0 else slice(None) for step in value.strides)
    return constant(value[once].transpose(np.argsort(order)))


# Operators that rearrange.


def _transpose(equation: _Equation, x: Tensor) -> Tensor:
    return Tensor(x.node, tuple(x.order[i] for i in equation.params["permutation"]))


def _slice(equation: _Equation, x: Tensor) -> Tensor:
    params = equation.params
    strides = params["strides"] or [1] * len(x.order)
    return Tensor(
        ops.slice(
            x.node,
            integers(params["start_indices"]),
            integers(params["limit_indices"]),
            integers(strides),
            integers(x.order),
        ),
        x.order,
    )


def _squeeze(equation: _Equation, x: Tensor) -> Tensor:
    gone = [x.order[axis] for axis in equation.params["dimensions"]]
    kept = [o for i, o in enumerate(x.order) if i not in equation.params["dimensions"]]
    order = tuple(axis - sum(g < axis for g in gone) for axis in kept)
    return Tensor(ops.squeeze(x.node, integers(gone)), order)


def _reshape(equation: _Equation, x: Tensor) -> Tensor:
    return plain_tensor(ops.reshape(x.plain, integers(_shape(equation)), False))


def _broadcast(equation: _Equation, x: Tensor) -> Tensor:
    shape = _shape(equation)
    spread = _spread(equation.invars[0].aval.shape, equation.params, len(shape))
    node = ops.reshape(x.plain, integers(spread), False)
    return plain_tensor(ops.broadcast(node, integers(shape)))


def _concatenate(equation: _Equation, *values: _Value) -> Tensor:
    nodes = [v.plain if isinstance(v, Tensor) else constant(v) for v in values]
    return plain_tensor(ops.concat(nodes, equation.params["dimension"]))


def _stack(equation: _Equation, *values: _Value) -> Tensor:
    axis = equation.params["axis"]
    nodes = [v.plain if isinstance(v, Tensor) else constant(v) for v in values]
    nodes = [ops.unsqueeze(node, integers([axis])) for node in nodes]
    return plain_tensor(ops.concat(nodes, axis))


def _pad(equation: _Equation, x: Tensor, value: np.ndarray) -> Tensor:
    before, after, between = (
        [0] * len(x.order),
        [0] * len(x.order),
        [0] * len(x.order),
    )
    for axis, (low, high, interior) in zip(
        x.order, equation.params["padding_config"], strict=True
    ):
        before[axis], after[axis], between[axis] = low, high, interior
    _require(not any(between), "padding between elements")
    node = ops.pad(
        x.node, integers(before), integers(after), "constant", ops.constant(value)
    )
    return Tensor(node, x.order)


def _reduce(operator: Callable[..., Any]) -> Callable[..., Tensor]:
    def reduce(equation: _Equation, x: Tensor) -> Tensor:
        return plain_tensor(operator(x.plain, integers(equation.params["axes"]), False))

    return reduce


# Products and convolutions.


def _dot(equation: _Equation, x: _Value, y: _Value) -> Tensor:
    (x_sum, y_sum), (x_batch, y_batch) = equation.params["dimension_numbers"]
    _require(len(x_sum) == 1, "a product that sums over several axes")
    x_shape, y_shape = (v.aval.shape for v in equation.invars)
    x_free = [i for i in range(len(x_shape)) if i not in (*x_sum, *x_batch)]
    y_free = [i for i in range(len(y_shape)) if i not in (*y_sum, *y_batch)]
    if (
        isinstance(x, Tensor)
        and isinstance(y, np.ndarray)
        and x.order == _CHANNELS_FIRST
        and (x_sum, y_sum, y.ndim) == ((3,), (0,), 2)
    ):
        # Between convolutions a product over channels is a convolution too.
        kernel = constant(y.T[:, :, None, None])
        node = ops.convolution(x.node, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
        return Tensor(node, _CHANNELS_FIRST)

    batch = [x_shape[i] for i in x_batch]
    rows = math.prod(x_shape[i] for i in x_free)
    columns = math.prod(y_shape[i] for i in y_free)
    x = _permuted(x, [*x_batch, *x_free, *x_sum])
    y = _permuted(y, [*y_batch, *y_sum, *y_free])
    if batch or len(x_free) == 0:
        x = _reshaped(x, [*batch, rows, x_shape[x_sum[0]]])
    y = _reshaped(y, [*batch, y_shape[y_sum[0]], columns])
    node = ops.matmul(_node(x), _node(y), False, False)
    shape = _shape(equation)
    if tuple(node.output(0).get_shape()) != tuple(shape):
        node = ops.reshape(node, integers(shape), False)
    return plain_tensor(node)


def _convolution(equation: _Equation, x: Tensor, kernel: np.ndarray) -> Tensor:
    params = equation.params
    numbers = params["dimension_numbers"]
    _require(
        (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec)
        == ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
        "a convolution that is not NHWC with an HWIO kernel",
    )
    _require(set(params["lhs_dilation"]) == {1}, "a transposed convolution")
    _require(isinstance(kernel, np.ndarray), "a convolution with a computed kernel")
    before, after = zip(*params["padding"], strict=True)
    geometry = (params["window_strides"], before, after, params["rhs_dilation"])
    geometry = [list(values) for values in geometry]
    weights = kernel.transpose(3, 2, 0, 1)
    groups = params["feature_group_count"]
    if groups == 1:
        operator = ops.convolution
    else:
        operator = ops.group_convolution
        weights = weights.reshape(groups, -1, *weights.shape[1:])
    node = operator(x.kept(_CHANNELS_FIRST), constant(weights), *geometry)
    return Tensor(node, _CHANNELS_FIRST)


# Calls that are operators of OpenVINO.


def _attend(equation: _Equation, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    one = ops.constant(np.float32(1))  # the queries are scaled already
    node = ops.scaled_dot_product_attention(q.plain, k.plain, v.plain, scale=one)
    return plain_tensor(node)


def _normalize(equation: _Equation, x: Tensor, epsilon: np.ndarray) -> Tensor:
    last = integers([-1])
    return plain_tensor(ops.mvn(x.plain, last, True, float(epsilon), "inside_sqrt"))


def _gelu(equation: _Equation, x: Tensor) -> Tensor:
    return Tensor(ops.gelu(x.node, "erf"), x.order)


def _relu(equation: _Equation, x: Tensor) -> Tensor:
    return Tensor(ops.relu(x.node), x.order)


def _resize_bilinear(equation: _Equation, x: Tensor) -> Tensor:
    size = _shape(equation)[1:3]
    if size == equation.invars[0].aval.shape[1:3]:
        return x
    node = ops.interpolate(
        x.kept(_CHANNELS_FIRST),
        integers(size),
        "linear_onnx",
        "sizes",
        axes=integers([2, 3]),
        coordinate_transformation_mode="align_corners",
    )
    return Tensor(node, _CHANNELS_FIRST)


_CALLS: dict[str, Callable[..., Tensor]] = {
    "attend": _attend,
    "normalize": _normalize,
    "gelu": _gelu,
    "relu": _relu,
    "resize_bilinear": _resize_bilinear,
}
_PRIMITIVES: dict[str, Callable[..., Tensor]] = {
    "transpose": _transpose,
    "slice": _slice,
    "squeeze": _squeeze,
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "stack": _stack,
    "pad": _pad,
    "reduce_sum": _reduce(ops.reduce_sum),
    "reduce_max": _reduce(ops.reduce_max),
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
}


# Helpers.


def _shape(equation: _Equation) -> tuple[int, ...]:
    return equation.outvars[0].aval.shape


def _node(value: Any) -> Any:
    return constant(value) if isinstance(value, np.ndarray) else value


def _permuted(value: _Value, permutation: Sequence[int]) -> Any:
    if isinstance(value, np.ndarray):
        return value.transpose(permutation)
    return Tensor(value.node, tuple(value.order[i] for i in permutation)).plain


def _reshaped(value: Any, shape: Sequence[int]) -> Any:
    if isinstance(value, np.ndarray):
        return value.reshape(shape)
    if list(value.output(0).get_shape()) == list(shape):
        return value
    return ops.reshape(value, integers(shape), False)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise NotImplementedError(f"the OpenVINO engine does not translate {what}")
