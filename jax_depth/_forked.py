"""Computing in forked processes: an error instead of a child that hangs.

XLA and OpenVINO compute on threads, which a fork does not copy: the child would wait
for them for ever. Known from the moment that `jax_depth` is imported, since a parent
may have computed with JAX alone.
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Whether an engine other than JAX's own has threads in this process.
_threads = False
# Whether this process was forked off one that had such threads, or JAX's.
_forked = False


def check_process() -> None:
    """Refuse to compute in a child that was forked off a process that computes.

    Raises:
        RuntimeError: this is such a child.
    """
    if _forked:
        _refuse()


def computes(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a function of JAX arrays begin with `check_process`."""

    @functools.wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        check_process()
        return function(*args, **kwargs)

    return checked


def has_threads() -> None:
    """Note that an engine is about to start threads in this process, or refuse.

    Raises:
        RuntimeError: as `check_process`.
    """
    global _threads
    check_process()
    _threads = True


class InForkedChild:
    """What stands in a forked child for what computes: any use raises the sentence.

    To raise when it is unpickled would end a worker of multiprocessing before it has
    its task, and the parent would wait for the result for ever.
    """

    def __getattr__(self, name: str) -> NoReturn:
        # Protocols (copy, pickle, NumPy) ask whether there is a method.
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse()

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse()

    def __reduce__(self) -> NoReturn:
        _refuse()


def is_forked() -> bool:
    """Whether `check_process` refuses."""
    return _forked


def _refuse() -> NoReturn:
    raise RuntimeError(
        "this process was forked off one that had a model loaded or had used JAX, "
        "whose threads a fork does not copy; start workers with multiprocessing's "
        "\"spawn\" (multiprocessing.get_context('spawn')), or load the model in the "
        "children only"
    )


def _jax_computes() -> bool:
    """Whether JAX has a backend in this process; asking must not start one."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(getattr(bridge, "_backends", None))


def _after_fork() -> None:
    global _forked
    _forked = _forked or _threads or _jax_computes()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
