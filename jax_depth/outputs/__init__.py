"""Save a `DepthMap` to a file and load it again, or draw it as a picture.

from jax_depth import outputs

outputs.save(depth, "photo.png")                  # 16 bits, scale inside
outputs.save(depth, "look.png", format="color")   # a picture to look at
depth = outputs.load("photo.png")
"""

from jax_depth.depth_map import DepthMap as _DepthMap
from jax_depth.map_files import FORMATS as FORMATS
from jax_depth.map_files import save as save
from jax_depth.outputs.color import colorize as colorize
from jax_depth.outputs.color import side_by_side as side_by_side
from jax_depth.outputs.legend import with_legend as with_legend

load = _DepthMap.load
