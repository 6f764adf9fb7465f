"""Datasets of pictures with depth, one reader per published format, and their batches.

from jax_depth.data import open_dataset
dataset = open_dataset("hypersim:/data/hypersim?split=train")
sample = dataset[0]                       # Sample: rgb, target, mask, kind, unit
"""

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset
from jax_depth.data.loader import LoadedBatch, Loader
from jax_depth.data.registry import DATASETS, open_dataset, open_mixture
from jax_depth.data.sample import DatasetError, Sample, SampleError

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetError",
    "Intrinsics",
    "LoadedBatch",
    "Loader",
    "Sample",
    "SampleError",
    "open_dataset",
    "open_mixture",
]
