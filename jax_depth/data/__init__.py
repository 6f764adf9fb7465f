"""Datasets of pictures with depth, one reader per published format, and their batches.

from jax_depth.data import open_dataset
dataset = open_dataset("hypersim:/data/hypersim?split=train")
sample = dataset[0]                       # Sample: rgb, target, mask, kind, unit
"""
