"""A photo through an .onnx file that does its own preprocessing; needs no jax.

jax-depth export tiny -o tiny.onnx --preprocess --photo-size 640x480
python run_onnx.py tiny.onnx photo.jpg depth.npy
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
_, height, width, _ = session.get_inputs()[0].shape
photo = Image.open(sys.argv[2]).convert("RGB").resize((width, height))
(depth,) = session.run(["depth"], {"photo": np.asarray(photo)[None]})
np.save(sys.argv[3], depth[0])
