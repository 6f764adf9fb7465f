"""`jax-depth app`: the models in a browser, and over HTTP."""

import argparse
import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Iterator

from jax_depth.cli.compilation_cache import use_compilation_cache
from jax_depth.cli.model_options import (
    DEFAULT_MODEL,
    add_dtype_option,
    add_engine_option,
)
from jax_depth.cli.summary import add_json_argument, conclude, fail
from jax_depth.cli.usage import (
    INTERRUPTED,
    UsageError,
    end_now,
    loading_models,
    number,
    positive,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from jax_depth.app.limits import MEBIBYTE, Limits

    default = Limits()
    parser.add_argument(
        "--model",
        metavar="NAME",
        action="append",
        help="a model to offer: a name that `jax-depth models` lists, or a folder with "
        "weights; may be repeated, and the page starts with the first "
        f"(default: {DEFAULT_MODEL})",
    )
    parser.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="short side at which the network sees a photo unless a user chooses"
        " another; for depth-anything-3 the long side (default: the model's"
        " own)",
    )
    add_dtype_option(parser)
    add_engine_option(parser)
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="at most this many waiting photos computed together (default: 4 on "
        "CPU, 8 on a GPU or TPU)",
    )
    add_json_argument(parser)
    address = parser.add_argument_group("address")
    address.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; any but a loopback address opens the app to "
        "others, without a password (default: %(default)s)",
    )
    address.add_argument(
        "--port",
        type=_port,
        default=7860,
        help="port to listen on (default: %(default)s; 0: a free one)",
    )
    address.add_argument(
        "--allow-host",
        type=_host,
        metavar="NAME",
        action="append",
        default=[],
        help="a name under which a proxy's users reach the server; *.example.org for "
        "all names below it; may be repeated",
    )
    address.add_argument(
        "--root-path",
        type=_root_path,
        metavar="PATH",
        default="",
        help="path prefix under which a proxy serves the app, and which it strips, "
        "such as /depth",
    )
    parser.add_argument(
        "--access-log", action="store_true", help="print a line per request on stderr"
    )
    parser.add_argument(
        "--grace",
        type=number(lambda seconds: 0 <= seconds < 86400, "0 or more seconds"),
        metavar="SECONDS",
        default=30.0,
        help="how long requests may take to finish after a signal to stop (default: "
        "%(default)g)",
    )
    limits = parser.add_argument_group("limits")
    for flag, name, unit, help in (
        ("--max-upload", "MIB", MEBIBYTE, "MiB of one file"),
        ("--max-pixels", "N", 1, "pixels of one photo"),
        ("--max-size", "PIXELS", 1, "largest --size a user may choose"),
        ("--max-waiting", "N", 1, "photos being computed or waiting, of all users"),
        ("--max-seconds", "N", 1, "limit from a photo's arrival to its depth"),
        ("--max-batch", "N", 1, "photos per run of the tab Several photos"),
        ("--max-frames", "N", 1, "frames of one video"),
    ):
        value = getattr(default, _LIMITS[flag]) // unit
        limits.add_argument(
            flag,
            type=positive,
            metavar=name,
            default=int(value),
            help=f"{help} (default: %(default)s)",
        )


_LIMITS = {
    "--max-upload": "upload_bytes",
    "--max-pixels": "pixels",
    "--max-size": "size",
    "--max-waiting": "waiting",
    "--max-seconds": "seconds",
    "--max-batch": "batch_photos",
    "--max-frames": "frames",
}


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    others = set(threading.enumerate())
    try:
        with _ended_by_sigterm():
            _serve(args)
    except KeyboardInterrupt:
        if _at_work(others):
            fail(args, "interrupted")
            end_now(INTERRUPTED)
        raise
    if _at_work(others):
        end_now(0)
    return 0


def _serve(args: argparse.Namespace) -> None:
    from jax_depth.app import server

    try:
        server.gradio_module()
        sock = server.listen(args.host, args.port)
    except ValueError as error:
        raise UsageError(str(error)) from None
    use_compilation_cache()
    # Late: this imports jax, which the mistakes above need not wait for.
    from jax_depth.app.addresses import is_loopback
    from jax_depth.app.models import load_models, warm_up

    with sock:
        with loading_models():
            models = load_models(
                args.model or [DEFAULT_MODEL],
                size=args.size,
                dtype=args.dtype,
                engine=args.engine,
            )
        here = is_loopback(args.host)
        if not here:
            _warn(args.host)
        with (
            server.application(
                models,
                limits=_limits(args),
                batch_size=args.batch_size or _batch_size(),
                hosts=args.allow_host,
                any_host=not here and not args.allow_host,
                root_path=args.root_path,
            ) as app,
            warm_up(next(iter(models.values())), app.service.batcher),
        ):
            host, port = sock.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            url = f"http://{host}:{port}"
            document = {"url": url, "models": list(models)}
            conclude(args, document, f"jax-depth app: {url}  (Ctrl+C stops it)")
            sys.stdout.flush()  # a program that started this one waits for the line
            from jax_depth.app.http_server import http_server

            answering = http_server(app, args.grace, args.root_path, args.access_log)
            answering.run(sockets=[sock])


def _at_work(others: set[threading.Thread]) -> bool:
    """Whether the device is still busy with work nobody waits for any more."""
    ours = (t for t in threading.enumerate() if t not in others)
    return any(thread.name.startswith("jax-depth") for thread in ours)


class _Terminated(Exception):
    """The system or a supervisor asks the server to end."""


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block in order, so that no user's photo is left behind."""

    def end(*_: object) -> None:
        # A second one must not disturb what the first one started.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        with contextlib.suppress(_Terminated):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _limits(args: argparse.Namespace):
    from jax_depth.app.limits import MEBIBYTE, Limits

    chosen = {
        name: getattr(args, flag.lstrip("-").replace("-", "_"))
        for flag, name in _LIMITS.items()
    }
    chosen["upload_bytes"] *= MEBIBYTE
    return dataclasses.replace(Limits(), **chosen)


def _batch_size() -> int:
    import jax

    return 4 if jax.default_backend() == "cpu" else 8


def _warn(host: str) -> None:
    print(
        f"jax-depth: app: warning: --host {host} lets everyone who can reach this "
        "machine use the app, without a password and without encryption",
        file=sys.stderr,
    )


def _host(text: str) -> str:
    from jax_depth.app.addresses import is_host

    if is_host(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not the name of a host; give depth.example.org, without scheme, "
        "port and path"
    )


def _root_path(text: str) -> str:
    path = "/" + text.strip("/")
    if path.isascii() and not set(path) & set(" ?#%\\") and "//" not in path:
        return "" if path == "/" else path
    raise argparse.ArgumentTypeError(f"{text!r} is not a path such as /depth")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
