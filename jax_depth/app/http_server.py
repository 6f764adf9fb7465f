"""The HTTP server, which stops when current work is done."""

import asyncio
import copy
import logging
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from jax_depth.app.limits import MEBIBYTE
from jax_depth.app.server import Application
from jax_depth.app.stopping import Work

# Seconds that current work gets when the server is told to stop, and that open pages
# get afterwards.
GRACE, _FAREWELL = 30.0, 2


class HttpServer(uvicorn.Server):
    """uvicorn, still answering while current work finishes.

    A first SIGTERM or Ctrl-C refuses new work and waits; a second one ends the wait.
    """

    def __init__(self, config: uvicorn.Config, work: Work, grace: float):
        """Take a configuration.

        Args:
            config: of uvicorn.
            work: to be waited for.
            grace: seconds to wait at most.
        """
        super().__init__(config)
        self._work = work
        self._grace = grace
        self._hurried = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, or stop at once."""
        if self.should_exit:
            self._hurried = True
            self.config.timeout_graceful_shutdown = 0
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        """Serve until told to stop, and until nothing is in work."""
        await super().main_loop()
        await self._work.finish(self._grace, lambda: self._hurried)


def http_server(
    app: Application,
    grace: float = GRACE,
    root_path: str = "",
    access_log: bool = False,
) -> HttpServer:
    """Return what answers: `.run(sockets=[...])` until it is told to stop.

    Args:
        app: what is served.
        grace: seconds that current work gets to finish.
        root_path: that a proxy strips from the paths of requests.
        access_log: whether every request is a line on stderr.
    """
    config = uvicorn.Config(
        app.asgi,
        log_config=_log_config(),
        access_log=access_log,
        root_path=root_path,
        timeout_graceful_shutdown=_FAREWELL,
        server_header=False,
        h11_max_incomplete_event_size=MEBIBYTE // 16,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_worth_saying)
    return HttpServer(config, app.service.work, grace)


def _log_config() -> dict[str, Any]:
    """Return uvicorn's own, with the time in a line of access, and all of it on stderr.

    stdout holds the address alone, for programs that read it.
    """
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["uvicorn"]["level"] = "WARNING"
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    config["formatters"]["access"] = {
        "()": "uvicorn.logging.AccessFormatter",
        "fmt": '%(asctime)s %(client_addr)s "%(request_line)s" %(status_code)s',
        "use_colors": False,
    }
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    return config


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Tell whether a log record is more than open pages cut off by the stop."""
    error = record.exc_info and record.exc_info[1]
    cut_off = isinstance(error, asyncio.CancelledError)
    return not cut_off and "graceful shutdown exceeded" not in record.getMessage()
