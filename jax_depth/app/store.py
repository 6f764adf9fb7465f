"""Results kept for a while, so that they can be downloaded and recoloured."""

import collections
import secrets
import threading

from jax_depth.app.service import Prediction


class Store:
    """The newest results by names that cannot be guessed, within a limit of bytes."""

    def __init__(self, kept_bytes: int):
        """Start empty.

        Args:
            kept_bytes: of photos and maps; the newest result stays, however large.
        """
        self._most = kept_bytes
        self._kept: collections.OrderedDict[str, Prediction] = collections.OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, result: Prediction) -> str:
        """Keep a result and return its name."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[token] = result
            self._bytes += _size(result)
            while self._bytes > self._most and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._bytes -= _size(old)
        return token

    def get(self, token: str | None) -> Prediction | None:
        """Return a result; None when it is not kept, or not any more."""
        with self._lock:
            if token is None or token not in self._kept:
                return None
            self._kept.move_to_end(token)
            return self._kept[token]


def _size(result: Prediction) -> int:
    return result.photo.nbytes + result.depth.values.nbytes
