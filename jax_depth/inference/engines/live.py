"""What of a traced function is needed, for those who translate it by equations."""

from typing import Any


def live_equations(jaxpr: Any) -> list[Any]:
    """Return the equations of a jaxpr that its results depend on, in order.

    XLA drops the others; a translator would do their work, or lack a primitive for
    what nobody asked: the cameras of a network of which depth is wanted, say.
    """
    live = {id(variable) for variable in jaxpr.outvars}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if any(id(variable) in live for variable in equation.outvars):
            kept.append(equation)
            live |= {id(variable) for variable in equation.invars}
    return kept[::-1]
