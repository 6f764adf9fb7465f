"""The folder that results go to: made and tested before anything is computed."""

import secrets
from pathlib import Path

from jax_depth.cli.usage import UsageError


def make_folder(outdir: Path) -> None:
    """Make the output folder and test it, before loading a model in vain.

    Raises:
        UsageError: it cannot be written to.
    """
    probe = outdir / f".{secrets.token_hex(8)}.tmp"
    try:
        outdir.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror
        if outdir.is_symlink() and not outdir.exists():
            reason = f"it is a link to {str(outdir.readlink())!r}, which is not there"
        raise UsageError(
            f"the output folder '{outdir}' cannot be written to: {reason}"
        ) from None
