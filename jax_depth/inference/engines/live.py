"""The needed part of a traced function, for translators that go by equations."""

from typing import Any


def live_equations(jaxpr: Any) -> list[Any]:
    """Return the equations of a jaxpr that its results depend on, in order.

    XLA drops the others; a translator would do their work, or lack a primitive for what
    nobody asked for, such as a network's cameras when only depth is wanted.
    """
    live = {id(variable) for variable in jaxpr.outvars}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if any(id(variable) in live for variable in equation.outvars):
            kept.append(equation)
            live |= {id(variable) for variable in equation.invars}
    return kept[::-1]
