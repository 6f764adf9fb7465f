"""Indexes of packages whose names are imported when first used."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package.

    A name is looked up in the module that defines it, and the package's own modules
    are attributes as well, so `import jax_depth` is enough for all of them.

    Args:
        package: its `__name__`.
        homes: name -> module that defines it, below the package; ".x" is beside it.
    """

    def get(name: str) -> Any:
        if name in homes:
            module = importlib.import_module(f".{homes[name]}", package)
            value = getattr(module, name)
            setattr(sys.modules[package], name, value)
            return value
        if not name.startswith("_") and name in _modules(package):
            return importlib.import_module(f"{package}.{name}")
        known = ", ".join(sorted(homes))
        raise AttributeError(
            f"module {package!r} has no attribute {name!r}; it has {known}"
        )

    def names() -> list[str]:
        return sorted({*homes, *_modules(package)})

    return get, names, sorted(homes)


def _modules(package: str) -> set[str]:
    path = sys.modules[package].__path__
    return {m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")}
