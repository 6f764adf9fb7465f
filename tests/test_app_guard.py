"""What the server refuses to serve, and what its answers forbid the browser."""

import json
import urllib.parse

import app_server
import pytest
from app_server import ask


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server, and its folder of uploads."""
    folder = tmp_path_factory.mktemp("app")
    with app_server.command(folder, "--max-upload", "1", warm=False) as server:
        yield server


@pytest.fixture
def address(server):
    return server[0]


@pytest.fixture
def uploads(server):
    return server[1]


@pytest.mark.slow
def test_the_page_may_load_nothing_from_elsewhere(address):
    status, headers, body = ask(address, "/")
    assert status == 200 and b"jax_depth" in body
    policy = headers["Content-Security-Policy"]
    assert "http" not in policy and "*" not in policy
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    config = json.loads(ask(address, "/config")[2])
    assert config["analytics_enabled"] is False


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.nip.io", "[", ""]
)
def test_other_names_are_refused(address, host):
    # A page of another site can make its own name point here (DNS rebinding).
    status, _, text = ask(address, "/depth", b"x", host=host)
    assert status == 403 and b"is not called" in text and b"--allow-host" in text


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]:80", "LOCALHOST:1"])
def test_every_name_of_loopback_is_known(address, host):
    assert ask(address, "/depth", b"x", host=host)[0] == 415


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
def test_pages_of_other_sites_are_refused(address, origin):
    for path in ("/depth", "/gradio_api/upload", "/gradio_api/queue/join"):
        assert ask(address, path, b"x", origin=origin)[0] == 403
    assert ask(address, "/", origin=address)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=C:/secret",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:9/x",
        "/gradio_api/file=HTTPS://example.com/x",
        "/gradio_api/proxy=https://example.huggingface.co/x",
        "/static/../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2fetc/passwd",
        "/assets//etc/passwd",
        "/result/../../etc/passwd",
        "/result/x/..%2f..%2fetc%2fpasswd",
        "/result/x/depth.png",
        "/../../etc/passwd",
        "/etc/passwd",
        "/docs",
        "/openapi.json",
        "/monitoring",
        "/gradio_api/run/other",
        "/gradio_api/vibe-code",
        "/gradio_api/openapi.json",
    ],
)
def test_nothing_else_is_served(address, path):
    status, _, body = ask(address, path)
    assert status in (400, 403, 404), body[:200]
    assert b"root:" not in body


def call(address, file, url="/gradio_api/queue/join"):
    """Call the page's first function with a file, as its script would."""
    config = json.loads(ask(address, "/config")[2])
    number = config["dependencies"][0]["id"]
    data = [{"path": file, "meta": {"_type": "gradio.FileData"}}]
    body = json.dumps({"data": data, "fn_index": number, "session_hash": "x"})
    return ask(address, url, body, content_type="application/json")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "http://127.0.0.1:9/photo.jpg",
        " http://127.0.0.1:9/photo.jpg",
        "file:///etc/passwd",
        "\0",
        "x" * 5000,
    ],
)
def test_a_call_may_only_name_uploads(address, path):
    for url in ("/gradio_api/queue/join", "/gradio_api/run/predict"):
        status, _, text = call(address, path, url)
        assert status == 403 and b"must be uploaded" in text


def test_a_call_may_not_leave_the_folder_of_uploads(address, uploads, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (uploads / "link.png").symlink_to(secret)
    for path in (uploads / ".." / "x.png", uploads / "link.png"):
        assert call(address, str(path))[0] == 403
    # A sound one is not refused here.
    (uploads / "own.png").write_bytes(b"own")
    assert call(address, str(uploads / "own.png"))[0] == 200


def test_links_out_of_the_folder_are_not_served(address, uploads, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"secret")
    link = uploads / "link.txt"
    link.symlink_to(secret)
    quoted = urllib.parse.quote(str(link))
    status, _, body = ask(address, f"/gradio_api/file={quoted}")
    assert b"secret" not in body and status in (403, 404)


def test_bodies_are_limited(address):
    # Ten files of --max-upload, and what a click on the page sends.
    for path, most in (
        ("/gradio_api/upload", 10 * 2**20),
        ("/gradio_api/queue/join", 2**20),
    ):
        headers = {"content_length": str(most + 1)}
        status, _, text = ask(address, path, method="POST", **headers)
        assert status == 413 and b"the request has more than" in text
    # Without a length in its head a body is counted as it comes.
    parts = (bytes(2**16) for _ in range(17))
    status, _, text = ask(address, "/gradio_api/queue/join", parts)
    assert status == 413 and b"the call has more than" in text
