"""A photo through a .stablehlo file; needs jax, safetensors and Pillow only.

jax-depth export tiny -o tiny.stablehlo
python run_stablehlo.py tiny.stablehlo photo.jpg depth.npy
"""

import json
import sys

import numpy as np
from jax import export
from PIL import Image
from safetensors import safe_open

with safe_open(sys.argv[1], "numpy") as file:
    model = json.loads(file.metadata()["model"])
    program = export.deserialize(bytearray(file.get_tensor("program")))
    weights = {key: file.get_tensor(key) for key in file.keys() if key != "program"}
photo, multiple = Image.open(sys.argv[2]).convert("RGB"), model["multiple"]
scale = model["size"] / min(photo.size) / multiple
size = [round(side * scale) * multiple for side in photo.size]
pixels = np.asarray(photo.resize(size, Image.Resampling.BICUBIC)) / 255
pixels = ((pixels - model["mean"]) / model["std"]).astype(np.float32)
np.save(sys.argv[3], program.call(weights, pixels[None])[0])
