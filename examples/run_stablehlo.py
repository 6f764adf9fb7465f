"""A photo through a .stablehlo file, to depth of the photo's size; without jax_depth.

jax-depth export tiny -o tiny.stablehlo
pip install jax flatbuffers safetensors pillow
python run_stablehlo.py tiny.stablehlo photo.jpg depth.npy
"""

import json
import sys

import numpy as np
from jax import export
from PIL import Image
from safetensors import safe_open
from scipy.ndimage import zoom  # scipy comes with jax

with safe_open(sys.argv[1], "numpy") as file:
    model = json.loads(file.metadata()["model"])
    program = export.deserialize(bytearray(file.get_tensor("program")))
    weights = {key: file.get_tensor(key) for key in file.keys() if key != "program"}
photo, multiple = Image.open(sys.argv[2]).convert("RGB"), model["multiple"]
scale = model["size"] / min(photo.size) / multiple
size = [round(side * scale) * multiple for side in photo.size]
pixels = np.asarray(photo.resize(size, Image.Resampling.BICUBIC)) / 255
pixels = ((pixels - model["mean"]) / model["std"]).astype(np.float32)
depth = np.asarray(program.call(weights, pixels[None])[0])
# Back to the photo's size as the model's authors do: corners on corners, or not.
factors = np.divide(photo.size[::-1], depth.shape)
edges = model["restore"] != "aligned"
depth = zoom(depth, factors, order=1, mode="nearest", grid_mode=edges)
np.save(sys.argv[3], depth)
