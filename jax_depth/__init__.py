"""jax_depth"""
