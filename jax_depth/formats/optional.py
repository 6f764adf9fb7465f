"""Packages that are not always there: those of an extra."""

import importlib
import importlib.util
from types import ModuleType


def installed(name: str) -> bool:
    """Tell whether a module could be imported, without importing it."""
    return importlib.util.find_spec(name) is not None


def optional_module(
    name: str, needs: str, extra: str, package: str | None = None
) -> ModuleType:
    """Import a package that is not always there.

    Args:
        name: of the module.
        needs: what needs it, with the verb: "EXR files need".
        extra: of this library that installs it.
        package: what people call it, if not by the module's name.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            f"{needs} the package {package or name}: pip install 'jax_depth[{extra}]'"
        ) from None
