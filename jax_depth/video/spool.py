"""Depth maps of a whole clip, on disk between two passes over it."""

import tempfile
from collections.abc import Iterator
from types import TracebackType

import numpy as np
from jaxtyping import Float32

from jax_depth.video.stabilize import DEFAULT, Settings, on_grid


class Spool:
    """Maps in the order they came, in a temporary file: exact, float32.

    Attributes:
        extremes: smallest and largest value of all of them.
    """

    def __init__(self, settings: Settings = DEFAULT) -> None:
        self._file = tempfile.TemporaryFile(prefix="jax_depth_")
        self._shapes: list[tuple[int, ...]] = []
        self._settings = settings
        self._low, self._high = np.inf, -np.inf
        self.extremes = (np.inf, -np.inf)

    def __len__(self) -> int:
        return len(self._shapes)

    def append(self, values: Float32[np.ndarray, "h w"]) -> None:
        """Add a map.

        Raises:
            ValueError: it is not finite.
            OSError: the disk is full.
        """
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("the depth of a frame is NaN or infinite")
        self._file.write(np.ascontiguousarray(values, np.float32).data)
        self._shapes.append(values.shape)
        self.extremes = min(self.extremes[0], low), max(self.extremes[1], high)
        low, high = np.percentile(on_grid(values), self._settings.percentiles)
        self._low, self._high = min(self._low, low), max(self._high, high)

    @property
    def range(self) -> tuple[float, float]:
        """The range that all frames' own ranges lie in, as `Settings` defines one."""
        margin = self._settings.margin * (self._high - self._low)
        low, high = float(self._low - margin), float(self._high + margin)
        return (low, high) if low < high else (low, low + 1.0)

    def __iter__(self) -> Iterator[Float32[np.ndarray, "h w"]]:
        self._file.seek(0)
        for shape in self._shapes:
            values = np.empty(shape, np.float32)
            self._file.readinto(values.data.cast("B"))  # pyright: ignore[reportAttributeAccessIssue]
            yield values

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
