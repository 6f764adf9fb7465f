"""The page and the HTTP call on one port."""

import contextlib
import dataclasses
import errno
import os
import socket
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from jax_depth.app.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from jax_depth.app.service import Service
    from jax_depth.inference.estimator import Estimator


@dataclasses.dataclass(frozen=True)
class Application:
    """What answers requests.

    Attributes:
        asgi: the page and the HTTP call, guarded.
        service: behind both.
    """

    asgi: "ASGIApp"
    service: "Service"


def gradio_module() -> ModuleType:
    """Return gradio, told to keep to itself.

    Raises:
        ValueError: it is not installed.
    """
    # Read when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"the web app needs {error.name}: pip install 'jax_depth[app]'"
        ) from None
    return gradio


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ValueError: the address is taken, or is not of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        raise ValueError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another "
            f"with {'--port' if taken else '--host'}"
        ) from None


@contextlib.contextmanager
def application(
    models: "Mapping[str, Estimator]",
    *,
    limits: Limits,
    batch_size: int,
    hosts: Collection[str] = (),
    any_host: bool = False,
    root_path: str = "",
    page: bool = True,
) -> "Iterator[Application]":
    """Yield the application; its threads and files go at the end.

    Args:
        models: by name, the first is the default.
        limits: what it takes on.
        batch_size: photos of one call of the device.
        hosts: names by which it may be called beside those of loopback.
        any_host: whether it may be called by any.
        root_path: below which a proxy shows it, such as "/depth".
        page: whether there is more than the HTTP call.

    Raises:
        ValueError: gradio is not installed.
    """
    gradio_module()
    from fastapi import FastAPI

    from jax_depth.app.answers import HearOut
    from jax_depth.app.endpoint import add_endpoint
    from jax_depth.app.guard import Guard
    from jax_depth.app.metrics import Counted
    from jax_depth.app.service import Service
    from jax_depth.app.status import add_status
    from jax_depth.app.stopping import Door

    with tempfile.TemporaryDirectory(
        prefix="jax_depth_app_", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name).resolve()
        service = Service(models, limits, batch_size)
        try:
            app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
            add_endpoint(app, service)
            add_status(app, service)
            if page:
                _add_page(app, service, folder, root_path)
            guarded = Guard(app, limits, folder, hosts, any_host)
            asgi = Counted(Door(guarded, service.work), service.metrics)
            yield Application(HearOut(asgi), service)
        finally:
            service.close()


def _add_page(app: "FastAPI", service: "Service", folder: Path, root_path: str) -> None:
    """Add the page and its downloads, which keep their files in a folder."""
    # Read when components are made: where gradio keeps uploads.
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    import gradio

    from jax_depth.app.downloads import add_downloads
    from jax_depth.app.models import example_photos
    from jax_depth.app.page import HEAD, STYLE, THEME, build_page
    from jax_depth.app.store import Store

    store = Store(service.limits.kept_bytes)
    add_downloads(app, service, store)
    page = build_page(service, store, folder, example_photos())
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        root_path=root_path or None,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        show_error=True,
        max_file_size=service.limits.upload_bytes,
        theme=THEME,
        css=STYLE,
        head=HEAD,
    )
    # Only then does gradio check where a file lies that a call names.
    page.has_launched = True
