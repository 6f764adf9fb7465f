"""Engines and forked processes: an error instead of a child that hangs."""

import os

# The process whose engines run; set by the first one.
_owner: int | None = None


def check_process() -> None:
    """Refuse to compute in a child that was forked off a process with an engine.

    XLA and OpenVINO compute on threads, which a fork does not copy: the child would
    wait for them for ever.

    Raises:
        RuntimeError: this is such a child.
    """
    global _owner
    if _owner is None:
        _owner = os.getpid()
    if _owner != os.getpid():
        raise RuntimeError(
            "this process was forked off one that had a model loaded, whose threads a "
            'fork does not copy; start workers with multiprocessing\'s "spawn" '
            "(multiprocessing.get_context('spawn')) or load the model in the children "
            "only"
        )
