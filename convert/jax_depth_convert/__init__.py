"""Convert weights of Depth Anything and DINOv2 between PyTorch files and jax_depth.

    state = jax_depth_convert.read("model.pth")               # no torch needed
    params = jax_depth_convert.from_torch(state, config)
    state = jax_depth_convert.to_torch(params, config, layout="transformers")

`config` is `jax_depth.MODELS[name].config` or your own. `load` does the first two steps
for any file or directory, and `convert` converts files on disk. The page "Weights" of
the documentation (`convert/README.md`) lists every published file.
"""

from jax_depth_convert.conversion import convert, load, write
from jax_depth_convert.hub_folder import write_hub_folder
from jax_depth_convert.readers import read
from jax_depth_convert.state_dicts import (
    Recognised,
    from_torch,
    recognise,
    to_torch,
    unused,
)
from jax_depth_convert.transformers_folder import write_transformers_folder

__all__ = [
    "Recognised",
    "convert",
    "from_torch",
    "load",
    "read",
    "recognise",
    "to_torch",
    "unused",
    "write",
    "write_hub_folder",
    "write_transformers_folder",
]
