"""Compiled programs as files: a later process loads what an earlier one compiled.

An executable holds one model's `forward` for one batch and one size as machine code,
without its weights. Loading it skips tracing, lowering and compiling, and the import
of Flax. It serves the machine it was made for: same jaxlib, platform, device kind and
CPU features, and same source of the network; `read` refuses everything else.

Files are `jax.experimental.serialize_executable` behind a line of JSON that says what
they were made for. Like every program they can do anything when they run: load
only those you made or trust.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.experimental.serialize_executable import deserialize_and_load, serialize

from jax_depth._typing import Params
from jax_depth.config import ModelConfig, to_json
from jax_depth.formats.atomic import atomic
from jax_depth.formats.cache import private_folder
from jax_depth.inference.engines.xla import Compile
from jax_depth.models import products
from jax_depth.models.host import cpu_features
from jax_depth.models.output import Output

SUFFIX = ".executable"

Program = Callable[[Params, jax.Array], jax.Array | Output]

# What jax's own cache was set to, once for each thread in `without_jax_cache`.
_without: list[bool] = []
_switched = threading.Lock()

# Read up to here when looking for the line of JSON.
_MAX_HEADER = 1 << 16


class ExecutableError(ValueError):
    """An executable that cannot be used by this process; the message says why."""


@dataclasses.dataclass(frozen=True)
class ExecutableFolder:
    """A folder of executables, as the `compile` of an `Estimator`.

    Attributes:
        folder: where they are, `<model>_<dtype>_<b>x<h>x<w>.executable`.
        compile: what makes a program that the folder lacks.
        strict: True for a folder a user names: an unusable file is an error, a missing
            one a warning, and nothing is written. False for a cache: both are compiled
            and written for the next process, and beyond `limit` files those unused for
            longest are removed.
        limit: files a cache keeps.
    """

    folder: Path
    compile: Compile
    strict: bool = False
    limit: int = 64

    def __call__(
        self, config: ModelConfig, params: Params, pixels: jax.Array
    ) -> Program:
        """Return the program of `config` for parameters and pixels like these.

        Args:
            config: the model.
            params: nested dict of arrays on the device.
            pixels: (b, h, w, 3) float32 on the device. Batches shared by several
                devices are compiled as usual; executables are for one device.

        Raises:
            ExecutableError: `strict`, and the file cannot be used.
        """
        if len(pixels.sharding.device_set) > 1:
            return self.compile(config, params, pixels)
        path = self.folder / file_name(config, pixels.shape)
        if path.exists():
            try:
                program = read(path, config, params, pixels)
                if not self.strict:
                    path.touch()
                return _FirstRun(path, program, self, config)
            except (ExecutableError, OSError):
                if self.strict:
                    raise
        elif self.strict:
            warnings.warn(
                f"{self.folder} holds no {path.name}; it is compiled now", stacklevel=2
            )
        if self.strict:
            return self.compile(config, params, pixels)
        return self.make(path, config, params, pixels)

    def make(self, path: Path, config: ModelConfig, params: Params, pixels) -> Program:
        """Compile a program and keep it in a file that was run once."""
        with without_jax_cache():
            program = self.compile(config, params, pixels)
        self._keep(path, program, config, pixels)
        return program

    def _keep(self, path: Path, program: Any, config: ModelConfig, pixels) -> None:
        try:
            private_folder(self.folder)
            write(path, program, config, pixels)
            files = sorted(self.folder.glob(f"*{SUFFIX}"), key=os.path.getmtime)
            for file in files[: -self.limit]:
                file.unlink(missing_ok=True)
        except (OSError, ExecutableError):
            pass  # costs the next process time, not this one its result


class _FirstRun:
    """A program from a file, waited for the first time it runs.

    What is wrong with it may show only then, and after the call returned.
    """

    def __init__(self, path: Path, program: Any, folder: ExecutableFolder, config):
        self._path, self._program = path, program
        self._folder, self._config = folder, config
        self._proven = False

    def __call__(self, params: Params, pixels: jax.Array) -> Any:
        if self._proven:
            return self._program(params, pixels)
        try:
            result = jax.block_until_ready(self._program(params, pixels))
        except jax.errors.JaxRuntimeError as error:
            if self._folder.strict:
                raise ExecutableError(f"{self._path}: {_fails(error)}") from None
            with contextlib.suppress(OSError):
                self._path.unlink()
            make = self._folder.make
            self._program = make(self._path, self._config, params, pixels)
            result = self._program(params, pixels)
        self._proven = True
        return result


@contextlib.contextmanager
def without_jax_cache() -> Iterator[None]:
    """Keep the body from taking programs out of jax's own cache of compilations.

    XLA on CPU serialises what it took from there without the functions in it, and a
    process that loads that fails with NOT_FOUND (seen with jaxlib 0.10.2).
    """
    config: Any = jax.config
    with _switched:  # threads overlap: the first switches off, the last on again
        if not _without:
            before = config.jax_enable_compilation_cache
            jax.config.update("jax_enable_compilation_cache", False)
            compilation_cache.reset_cache()  # it remembers whether it is in use
        else:
            before = _without[-1]
        _without.append(before)
    try:
        yield
    finally:
        with _switched:
            _without.pop()
            if not _without:
                jax.config.update("jax_enable_compilation_cache", before)
                compilation_cache.reset_cache()


def file_name(config: ModelConfig, shape: tuple[int, ...]) -> str:
    """Return what the executable for pixels of shape (b, h, w, 3) is called."""
    name = re.sub(r"[^\w.-]", "_", config.name)
    b, h, w = shape[:3]
    return f"{name}_{config.dtype}_{b}x{h}x{w}{SUFFIX}"


def write(path: Path, program: Any, config: ModelConfig, pixels: jax.Array) -> None:
    """Write a compiled program, whole or not at all, once it ran from its bytes.

    Args:
        path: the file; its folder exists.
        program: `jax.stages.Compiled` of `forward(params, pixels)` on one device.
        config: its model.
        pixels: pixels it was compiled for, or their abstract value with a sharding.

    Raises:
        ExecutableError: read back it does not run, as a program does not that jax took
            from its own cache of compilations; nothing is written.
        OSError: the file cannot be written.
    """
    if not isinstance(program, jax.stages.Compiled):
        kind = type(program).__name__
        raise ExecutableError(f"{path}: not written, since a {kind} is not compiled")
    try:
        payload = serialize(program)[0]
        _run_once(payload, program, pixels)
    except jax.errors.JaxRuntimeError as error:
        raise ExecutableError(
            f"{path}: not written, since the program {_fails(error)}; compile it "
            "within `without_jax_cache`"
        ) from None
    header = made_for(config, pixels) | {"sha256": hashlib.sha256(payload).hexdigest()}
    header["returns"] = _returned(program.out_tree)
    with atomic(path) as temporary, open(temporary, "wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        file.write(payload)


def read(path: Path, config: ModelConfig, params: Params, pixels: jax.Array) -> Program:
    """Return the program in a file, ready to be called with (params, pixels).

    Args:
        path: as written by `write`.
        config: the model it must be for.
        params: nested dict of the parameters it will be called with.
        pixels: the pixels it will be called with, on their device.

    Raises:
        ExecutableError: the file is damaged, or made for another model, size, jaxlib,
            platform or CPU; the sentence names what differs.
        OSError: the file cannot be read.
    """
    header, payload = _parse(path)
    here = made_for(config, pixels)
    _compare(path, header, here)
    if hashlib.sha256(payload).hexdigest() != header.get("sha256"):
        raise ExecutableError(f"{path}: damaged or truncated; {_REMEDY}")
    out_tree = _out_tree(path, header.get("returns"))
    try:
        return deserialize_and_load(
            payload,
            in_tree=jax.tree.structure(((params, pixels), {})),
            out_tree=out_tree,
            execution_devices=list(pixels.sharding.device_set),
        )
    except MemoryError:
        raise
    except Exception as error:  # XLA's, pickle's, or of what the pickle names
        raise ExecutableError(
            f"{path}: cannot be loaded ({_reason(error)}); {_REMEDY}"
        ) from None


def _returned(out_tree: Any) -> list[str] | None:
    """Return which fields of `Output` a program gives; None for a bare map."""
    result = jax.tree.unflatten(out_tree, range(out_tree.num_leaves))
    if not isinstance(result, Output):
        return None
    fields = [field.name for field in dataclasses.fields(Output)]
    return [name for name in fields if getattr(result, name) is not None]


def _out_tree(path: Path, returned: Any) -> Any:
    """Return the inverse of `_returned`."""
    if returned is None:  # files from before models that say more than depth, too
        return jax.tree.structure(0)
    fields = {field.name for field in dataclasses.fields(Output)}
    names = set(map(str, returned)) if isinstance(returned, list) else set()
    if not {"depth"} <= names <= fields:
        raise ExecutableError(f"{path}: returns {str(returned)[:80]!r}; {_REMEDY}")
    leaves: Any = dict.fromkeys(names, 0)
    return jax.tree.structure(Output(**leaves))


def made_for(config: ModelConfig, pixels: Any) -> dict[str, Any]:
    """Return everything the machine code depends on, as JSON values."""
    (device,) = pixels.sharding.device_set
    ways = {}
    if config.dtype == "bfloat16" and device.platform == "cpu":
        ways = {"bfloat16": products.to_json(products.products())}
    return {
        "size": "x".join(map(str, pixels.shape)),
        "model": to_json(config),
        **ways,
        **environment(device.platform, device.device_kind),
    }


@functools.cache
def environment(platform_name: str, device_kind: str) -> Mapping[str, Any]:
    """Return what the machine code depends on besides the model and the size."""
    names = ("jax", "jaxlib", "flax")
    options = ("jax_default_matmul_precision", "jax_enable_x64")
    return {
        # 1 could hold programs without their functions, see `without_jax_cache`.
        "format": 2,
        **{name: importlib.metadata.version(name) for name in names},
        "network": _digest_of_network(),
        "platform": platform_name,
        "device": device_kind,
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_features(),
        "flags": os.environ.get("XLA_FLAGS", ""),
        "options": {name: str(getattr(jax.config, name)) for name in options},
    }


def _run_once(payload: bytes, program: Any, pixels: Any) -> None:
    """Run a serialised program on zeros and wait for it."""
    loaded = deserialize_and_load(
        payload,
        in_tree=program.in_tree,
        out_tree=program.out_tree,
        execution_devices=list(pixels.sharding.device_set),
    )
    arguments, _ = jax.tree.map(
        lambda x: jax.device_put(np.zeros(x.shape, x.dtype), pixels.sharding),
        program.args_info,
    )
    jax.block_until_ready(loaded(*arguments))


def _fails(error: Exception) -> str:
    return f"fails when it runs from its bytes ({_reason(error)})"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


_REMEDY = "make it again here with `jax-depth export --executable`"


def _parse(path: Path) -> tuple[dict[str, Any], bytes]:
    if path.exists() and not path.is_file():  # a pipe would wait for a writer
        raise ExecutableError(f"{path}: not a file; {_REMEDY}")
    content = path.read_bytes()
    line, _, payload = content.partition(b"\n")
    try:
        header = json.loads(line[:_MAX_HEADER])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or "network" not in header:
        raise ExecutableError(f"{path}: not an executable of jax_depth; {_REMEDY}")
    return header, payload


def _compare(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise the first thing in which a file and this process differ."""
    missing = set(str(there.get("cpu", "")).split()) - set(here["cpu"].split())
    if missing:
        raise ExecutableError(
            f"{path}: made for a CPU with {' '.join(sorted(missing))}, which this one "
            f"lacks; {_REMEDY}"
        )
    for key, value in here.items():
        if key == "cpu" or there.get(key) == value:
            continue
        if key in ("model", "network", "options"):
            what = {"network": "version of the network", "model": "model"}.get(key, key)
            raise ExecutableError(f"{path}: made for another {what}; {_REMEDY}")
        raise ExecutableError(
            f"{path}: made for {key} {there.get(key)!r}, not {value!r}; {_REMEDY}"
        )


@functools.cache
def _digest_of_network() -> str:
    """Return a hash of the source files a program is traced from."""
    digest = hashlib.sha256()
    for file in sorted((Path(__file__).parents[2] / "models").glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
