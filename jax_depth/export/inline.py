"""A function with its calls and its choices between platforms written out.

jax2onnx does not know `jax.lax.platform_dependent`, and a graph of other runtimes has
no use for the branches of a CPU that runs XLA.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend

from jax_depth.inference.engines.live import live_equations

# Primitives that call what they hold once, and the parameter that holds it.
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_CALLERS = ("jit", "pjit", "closed_call", "checkpoint", "custom_jvp_call")
_CALLERS += ("custom_vjp_call", "remat2", "remat")


def for_other_runtimes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of arrays that computes the same by the default branches.

    Args:
        function: of arrays, returning one array or a tuple of several.
    """

    def inlined(*arguments: Any) -> Any:
        closed = jax.make_jaxpr(function)(*arguments)
        results = _run(closed.jaxpr, closed.consts, arguments)
        return results[0] if len(results) == 1 else tuple(results)

    return inlined


def _run(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Any:
        literal = isinstance(variable, jax.extend.core.Literal)
        return variable.val if literal else values[variable]

    for equation in live_equations(jaxpr):
        results = _equation(equation, [read(v) for v in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _equation(equation: Any, inputs: list[Any]) -> Sequence[Any]:
    name, params = equation.primitive.name, equation.params
    if name == "platform_index":
        return [_Branch(_default_branch(params["platforms"]))]
    if name == "cond" and isinstance(inputs[0], _Branch):
        branch = params["branches"][inputs[0]]
        return _run(branch.jaxpr, branch.consts, inputs[1:])
    if name in _CALLERS:
        inner = next(params[key] for key in _CALLS if key in params)
        consts = getattr(inner, "consts", ())
        return _run(getattr(inner, "jaxpr", inner), consts, inputs)
    results = equation.primitive.bind(*inputs, **params)
    return results if equation.primitive.multiple_results else [results]


class _Branch(int):
    """Which of a choice's branches is taken, known while tracing."""


def _default_branch(platforms: Sequence[Sequence[str] | None]) -> int:
    """Return the branch for a platform that none of them names."""
    return next((i for i, names in enumerate(platforms) if names is None), 0)
