"""Compiled programs kept between runs of the command line."""

import os
from pathlib import Path
from typing import Any

from jax_depth.formats.cache import compiled_folder, private_folder


def use_compilation_cache() -> None:
    """Let JAX keep what it compiles beside the cached weights.

    The environment variable JAX_COMPILATION_CACHE_DIR, which JAX reads by itself,
    takes precedence; set to nothing it turns the cache off. A folder that cannot be
    made costs time, not results, so it is passed over.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    import jax

    folder = compiled_folder()
    try:
        private_folder(folder)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def executables_folder() -> Path | None:
    """Return where whole programs are kept, None where that is not wanted.

    On CPUs only, whose instruction sets the files name; a GPU's code also depends on
    its driver. With JAX_COMPILATION_CACHE_DIR set, only jax's cache is used.
    """
    import jax

    folder = compiled_folder()
    config: Any = jax.config
    ours = config.jax_compilation_cache_dir == str(folder)
    return folder if ours and jax.default_backend() == "cpu" else None
