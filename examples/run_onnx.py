"""A photo through an .onnx file that does its own preprocessing; needs no jax.

pip install 'jax_depth[export]'
jax-depth export tiny -o tiny.onnx --preprocess --photo-size 640x480
pip install onnxruntime pillow
python run_onnx.py tiny.onnx photo.jpg depth.npy
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
_, height, width, _ = session.get_inputs()[0].shape
photo = Image.open(sys.argv[2]).convert("RGB")
seen = np.asarray(photo.resize((width, height)))
(depth,) = session.run(["depth"], {"photo": seen[None]})
# The file gives depth at its own size; this brings it to the photo's.
depth = Image.fromarray(depth[0]).resize(photo.size, Image.Resampling.BILINEAR)
np.save(sys.argv[3], np.asarray(depth))
