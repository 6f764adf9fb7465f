"""Speed and memory, measured beside the alternatives: `jax-depth bench`.

Every contender runs in a process of its own with the same weights and the same
pixels; they take turns, and each one's output is checked before it is timed.
"""
