"""Depth Anything in JAX: one photo in, a depth map out, on CPU, GPU or TPU.

    estimator = jax_depth.load("tiny")
    depth = estimator("photo.jpg")          # DepthMap, at the photo's own size
    depth.save("depth.png")

The main names are here and are imported when first used, so `import jax_depth` is quick
and loads neither training nor the command line. Subpackages are imported in the same
way: `jax_depth.outputs`, `.evaluation`, `.training`, `.data`, `.video`.
"""

from typing import TYPE_CHECKING

from jax_depth import _forked as _forked  # knows of forks from here on
from jax_depth import _moved
from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.camera import Intrinsics as Intrinsics
    from jax_depth.camera import Pose as Pose
    from jax_depth.catalog import MODELS as MODELS
    from jax_depth.config import EncoderConfig as EncoderConfig
    from jax_depth.config import HeadConfig as HeadConfig
    from jax_depth.config import HybridConfig as HybridConfig
    from jax_depth.config import ModelConfig as ModelConfig
    from jax_depth.depth_map import DepthMap as DepthMap
    from jax_depth.inference.estimator import Estimator as Estimator
    from jax_depth.inference.estimator import load as load
    from jax_depth.inference.on_device import predict as predict
    from jax_depth.inference.preprocess import preprocess as preprocess
    from jax_depth.models.clips import stream_init as stream_init
    from jax_depth.models.clips import stream_step as stream_step
    from jax_depth.models.depth_anything import apply as apply
    from jax_depth.models.depth_anything import features as features
    from jax_depth.models.depth_anything import forward as forward
    from jax_depth.models.initialize import init as init
    from jax_depth.models.output import Output as Output
    from jax_depth.views import Views as Views
    from jax_depth.weights import load_params as load_params
    from jax_depth.weights import save_params as save_params

__version__ = "0.1.0"

_moved.install()

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        # Inference
        "load": "inference.estimator",
        "Estimator": "inference.estimator",
        "DepthMap": "depth_map",
        "Intrinsics": "camera",
        "Pose": "camera",
        "Views": "views",
        "preprocess": "inference.preprocess",
        # Pure functions over a dict of parameters
        "predict": "inference.on_device",
        "apply": "models.depth_anything",
        "Output": "models.output",
        "stream_init": "models.clips",
        "stream_step": "models.clips",
        "forward": "models.depth_anything",
        "features": "models.depth_anything",
        "init": "models.initialize",
        "load_params": "weights",
        "save_params": "weights",
        # Descriptions
        "MODELS": "catalog",
        "ModelConfig": "config",
        "EncoderConfig": "config",
        "HybridConfig": "config",
        "HeadConfig": "config",
    },
)
