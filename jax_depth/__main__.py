"""`python -m jax_depth` is `jax-depth`."""

import sys

from jax_depth.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
