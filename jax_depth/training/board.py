"""TensorBoard's file of a run, written where it is called.

`tensorboardX.SummaryWriter` writes in a thread, which a full disk ends with a
traceback; then its queue fills up and the run waits for it for ever.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

_EVERY = 30.0  # seconds between two times that all is brought to the disk


class Board:
    """Writes until the file system refuses; a run goes on without it.

    Args:
        folder: made if missing; each process adds a file.
        first: step from which on what earlier processes wrote is hidden.
    """

    def __init__(self, folder: Path, first: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        protocol: Any = event_pb2  # its classes are made when it is imported
        folder.mkdir(parents=True, exist_ok=True)
        self._event = protocol.Event
        self._writer: Any = EventsWriter(str(folder / "events"))
        self._flushed = time.monotonic()
        start = protocol.SessionLog(status=protocol.SessionLog.START)
        self._add(step=first, session_log=start)

    def scalar(self, name: str, value: int | float, step: int) -> None:
        """Add a number."""
        from tensorboardX import summary

        self._add(step=step, summary=summary.scalar(name, value))

    def picture(
        self, name: str, picture: UInt8[np.ndarray, "h w 3"], step: int
    ) -> None:
        """Add a picture."""
        from tensorboardX import summary

        shown = summary.image(name, picture, dataformats="HWC")
        self._add(step=step, summary=shown)

    def close(self) -> None:
        """Bring all to the disk."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
            with contextlib.suppress(OSError):  # where it could not be flushed
                writer._py_recordio_writer.close()

    def _add(self, **fields: Any) -> None:
        if self._writer is None:
            return
        event = self._event(wall_time=time.time(), **fields)
        try:
            self._writer.write_event(event)
            if time.monotonic() - self._flushed > _EVERY:
                self._writer.flush()
                self._flushed = time.monotonic()
        except OSError:  # log.jsonl has the numbers, or says that it cannot
            self.close()
