"""The app behind nginx, as docs/app.md sets it up."""

import contextlib
import grp
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

import app_server
import pytest
from app_page import Page, driven, needs_driver
from app_server import ROOT, ask

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(not NGINX, reason="needs the proxy nginx")
COFFEE = ROOT / "examples" / "coffee.jpg"
NAME = "depth.example.org"

# What a system's nginx.conf has around a server.
_FRAME = """
daemon off;
user {user};
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""


def recipe() -> str:
    text = (ROOT / "docs" / "app.md").read_text(encoding="utf-8")
    return re.search(r"```nginx\n(.*?)```", text, re.DOTALL)[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def proxy(server: str, folder):
    """Run nginx until the block ends."""
    folder.mkdir()
    config = folder / "nginx.conf"
    # Who started it, or a worker of root's could not write into the folder.
    user = f"{pwd.getpwuid(os.getuid())[0]} {grp.getgrgid(os.getgid())[0]}"
    config.write_text(_FRAME.format(folder=folder, server=server, user=user))
    words = [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c"]
    process = subprocess.Popen([*words, str(config)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_for(address: str) -> None:
    host, port = urllib.parse.urlsplit(address).netloc.split(":")
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((host, port)):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens at {address}")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """Addresses of a proxy that keeps the Host header, and of one that rewrites it."""
    folder = tmp_path_factory.mktemp("app")
    options = ("--allow-host", NAME, "--root-path", "/photos")
    with app_server.command(folder, *options, warm=False) as (address, _):
        keeping, rewriting = free_port(), free_port()
        server = recipe().replace("listen 80;", f"listen 127.0.0.1:{keeping};")
        server = server.replace("location / {", "location /photos/ {")
        server = server.replace("http://127.0.0.1:7860;", f"{address}/;")
        plain = (
            f"server {{ listen 127.0.0.1:{rewriting}; location / {{ "
            f"proxy_pass {address}/; }} }}"
        )
        with proxy(server + plain, folder / "nginx"):
            addresses = [f"http://127.0.0.1:{port}" for port in (keeping, rewriting)]
            for one in addresses:
                wait_for(one)
            yield addresses


def test_names_and_origins_cross_the_proxy(proxied):
    keeping, rewriting = proxied
    photo = COFFEE.read_bytes()
    own, other = f"http://{NAME}", "http://evil.example"
    for address, path in ((keeping, "/photos/depth"), (rewriting, "/depth")):
        assert ask(address, path, photo, host=NAME, origin=own)[0] == 200
        assert ask(address, path, photo, host=NAME)[0] == 200
        assert ask(address, path, photo, host=NAME, origin=other)[0] == 403
    # Where the Host header is kept, other names are seen.
    assert ask(keeping, "/photos/depth", photo, host="evil.example")[0] == 403


def test_the_page_calls_itself_as_its_user_does(proxied):
    host = f"{NAME}:8000"
    status, _, body = ask(proxied[0], "/photos/config", host=host)
    assert status == 200 and json.loads(body)["root"] == f"http://{host}/photos"


@needs_driver
def test_the_page_works_behind_the_proxy(proxied, tmp_path):
    port = urllib.parse.urlsplit(proxied[0]).port
    rule = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    with driven(tmp_path / "profile", tmp_path, rule) as browser:
        page = Page(browser, f"http://{NAME}:{port}/photos/")
        page.drop(COFFEE)
        page.until("#message", "tiny")
        page.wait.until(lambda _: page.all(".downloads a"))
        link = urllib.parse.urlsplit(page.link("NumPy array"))
        assert (link.hostname, link.path[:15]) == (NAME, "/photos/result/")
        path = f"{link.path}?{link.query}"
        status, _, body = ask(proxied[0], path, host=f"{NAME}:{port}")
        assert status == 200 and body.startswith(b"\x93NUMPY")
