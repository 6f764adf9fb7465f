"""Units of length that files and people use for depth."""

from collections.abc import Mapping
from types import MappingProxyType

METRES: Mapping[str, float] = MappingProxyType(
    {"m": 1.0, "cm": 0.01, "mm": 0.001, "km": 1000.0, "in": 0.0254}
)
