"""`python -m jax_depth_convert SRC --to DST`: the same as `jax-depth convert`."""

import sys

from jax_depth.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
