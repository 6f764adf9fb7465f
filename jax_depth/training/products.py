"""How a run computes bfloat16 products on CPUs: the same on all hosts and when resumed.

`jax_depth.models.products` chooses what is fast on a machine. The ways differ in the
order of sums, so a run keeps the one it started with.
"""

import contextlib
import json
import os
from contextlib import AbstractContextManager
from pathlib import Path

import jax

from jax_depth.config import ModelConfig
from jax_depth.formats.atomic import atomic
from jax_depth.formats.json_file import read_json
from jax_depth.models import products
from jax_depth.training.hosts import Hosts

FILE = "bfloat16.json"
_PATIENCE = 600_000  # milliseconds until the first process has read the folder


def of_run(
    workdir: Path, config: ModelConfig, hosts: Hosts
) -> AbstractContextManager[None]:
    """Return a context in which the run in a folder is traced as it was started.

    The first process takes the choice from the folder, or makes it and writes it there;
    the others take it from the first. JAX_DEPTH_BFLOAT16 overrides it, permanently.
    Nothing is kept for a float32 model, or on other devices than CPUs.

    Raises:
        ValueError: the file in the folder is broken.
        OSError: it cannot be written.
    """
    if config.dtype != "bfloat16" or jax.default_backend() != "cpu":
        return contextlib.nullcontext()
    key = f"{hosts.prefix}/bfloat16"
    if jax.process_index() == 0:
        chosen = _kept(workdir)
        if hosts.client is not None:
            hosts.client.key_value_set(key, json.dumps(products.to_json(chosen)))
    else:
        text = hosts.client.blocking_key_value_get(key, _PATIENCE)
        chosen = products.from_json(json.loads(text))
    return products.using(chosen)


def _kept(workdir: Path) -> products.Products:
    path = workdir / FILE
    if path.exists() and not os.environ.get(products.VARIABLE):
        try:
            return products.from_json(read_json(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}; remove it or restore it") from None
    chosen = products.products()
    with atomic(path) as temporary:
        text = json.dumps(products.to_json(chosen), indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    return chosen
