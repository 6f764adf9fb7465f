"""`python -m jax_depth_convert SRC --to DST`: the same as `jax-depth convert`."""

import argparse
import sys

from jax_depth.cli import convert

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m jax_depth_convert", description=convert.__doc__
    )
    convert.add_arguments(parser)
    sys.exit(convert.run(parser.parse_args()))
