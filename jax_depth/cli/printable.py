"""Text for a terminal, as every command prints it; see `formats.printable`."""

from jax_depth.formats.printable import printable as printable
