"""What the worker processes run: one module for each library that is measured.

A module has `load(task, **options)`, which returns a function of no arguments that
does the work once and returns its result as a NumPy array. These are the only
modules of the benchmarks that import torch, and they do so late, inside functions, so
that no other process of a benchmark loads it.
"""
