"""The losses a recipe may list, by name; one file here registers each.

A loss is a function of a prediction, a target and a mask, (b, h, w) each, and of
options of its own that have defaults. It returns a scalar, the mean over the images
that can be judged. What else it wants to know it asks for by a parameter's name:

    key      a PRNG key, another one at every step
    region   (b, h, w), False where CutMix pasted another picture in, or None. A loss
             that does not ask sees each picture's own part alone.
    trim     an option that may differ between measured and pseudo-labelled pictures

A relative model's prediction is its output before the final ReLU and the target
inverse depth; a metric model's are metres.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

Loss = Callable[..., Any]
Kind = Literal["inverse_depth", "metric_depth"]
_GIVEN = ("key", "region")
_LOSSES: dict[str, tuple[Loss, tuple[Kind, ...]]] = {}


def register(name: str, *kinds: Kind) -> Callable[[Loss], Loss]:
    """Return a decorator that lets recipes list a loss.

    Args:
        name: in recipes and in the log.
        kinds: of models it is for; all when none is given.
    """

    def add(function: Loss) -> Loss:
        _LOSSES[name] = function, kinds or ("inverse_depth", "metric_depth")
        return function

    return add


@dataclasses.dataclass(frozen=True)
class Term:
    """One line of a recipe's loss.

    Attributes:
        loss: a registered name, a custom function, or where to import it from, as
            "package.module:function".
        weight: of the term.
        options: of the loss, by name.
    """

    loss: str | Loss
    weight: float = 1.0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the log calls it."""
        if isinstance(self.loss, str):
            return self.loss.rpartition(":")[2]
        return getattr(self.loss, "__name__", type(self.loss).__name__)

    @property
    def text(self) -> str:
        """What a saved recipe calls it."""
        if isinstance(self.loss, str):
            return self.loss
        return f"{self.loss.__module__}:{getattr(self.loss, '__qualname__', self.name)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Term) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.text)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        options = dict(self.options)
        return {"loss": self.text, "weight": self.weight, "options": options}

    @classmethod
    def from_json(cls, value: Any) -> "Term":
        """Return the term in a name, in (name, weight, options) or in an object.

        Raises:
            ValueError: it is none of them.
        """
        if isinstance(value, Term):
            return value
        if isinstance(value, str) or callable(value):
            return cls(value)
        if isinstance(value, Mapping) and set(value) <= {"loss", "weight", "options"}:
            value = [value.get("loss"), value.get("weight", 1.0), value.get("options")]
        if isinstance(value, list | tuple) and 1 <= len(value) <= 3:
            loss, weight, options = [*value, *(1.0, None)[len(value) - 1 :]]
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            named = isinstance(loss, str) or callable(loss)
            if named and number and isinstance(options or {}, Mapping):
                return cls(loss, float(weight), dict(options or {}))
        raise ValueError(
            f"{value!r} is not a loss term; write a name or (name, weight, "
            '{"option": value})'
        )

    def function(self, kind: Kind) -> Loss:
        """Return (pred, target, mask, key=, region=, trim=) -> scalar, unweighted.

        Arguments the loss does not ask for are not passed on.

        Args:
            kind: of the model that learns.

        Raises:
            ValueError: nothing has that name, it is for models of another kind, or
                it has no such option.
        """
        loss = _found(self.loss, kind)
        parameters = list(inspect.signature(loss).parameters.values())
        known = {p.name for p in parameters[3:]}
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            known |= set(self.options)
        if wrong := sorted(set(self.options) - (known - {*_GIVEN})):
            options = ", ".join(sorted(known - {*_GIVEN})) or "none"
            raise ValueError(
                f"the loss {self.text!r} has no option {wrong[0]!r}; it has: {options}"
            )
        options = dict(self.options)

        def call(pred, target, mask, **given):
            region = given.get("region")
            if region is not None and "region" not in known:
                mask = mask & region
            given = {k: v for k, v in given.items() if k in known}
            return loss(pred, target, mask, **(given | options))

        return call


def names(kind: Kind | None = None) -> list[str]:
    """Return the registered names, of one kind of models or of all."""
    return sorted(n for n, (_, kinds) in _LOSSES.items() if kind in (None, *kinds))


def _found(loss: str | Loss, kind: Kind) -> Loss:
    if not isinstance(loss, str):
        return loss
    if loss in _LOSSES:
        function, kinds = _LOSSES[loss]
        if kind not in kinds:
            raise ValueError(
                f"the loss {loss!r} is for models of {' and '.join(kinds)}, this one "
                f"gives {kind}; use one of {', '.join(names(kind))}"
            )
        return function
    module, colon, path = loss.partition(":")
    try:
        found: Any = importlib.import_module(module) if colon else None
        for part in path.split(".") if colon else ():
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the loss {loss!r} cannot be imported ({error}); pass it again as loss= "
            "of `train`, or put it into a module that can be imported"
        ) from None
    if not callable(found):
        raise ValueError(
            f"no loss is called {loss!r}; there are {', '.join(names(kind))}, or "
            "package.module:function of your own"
        )
    return found
