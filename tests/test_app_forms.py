"""`POST /depth` with the picture as the one file of a form."""

import re
import shutil
import subprocess

import app_server
import pytest
from app_server import ask
from test_app_http import photo

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(scope="module")
def address():
    with app_server.running(app_server.small(), upload_bytes=200_000) as server:
        yield server.address


def form(*parts: tuple[str, bytes]) -> dict:
    """Return the body and its type; parts are a disposition and what it holds."""
    pieces = [
        b"--edge\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
        % (disposition.encode(), content)
        for disposition, content in parts
    ]
    return {
        "body": b"".join([*pieces, b"--edge--\r\n"]),
        "content_type": "multipart/form-data; boundary=edge",
    }


def file(content: bytes, name: str = "photo.png") -> tuple[str, bytes]:
    return f'name="file"; filename="{name}"', content


def test_a_form_gives_what_the_picture_alone_gives(address):
    picture = photo()
    alone = ask(address, "/depth?format=npy&size=84", picture)
    fields = (('name="size"', b"84"), file(picture), ('name="format"', b"npy"))
    status, headers, body = ask(address, "/depth", **form(*fields))
    assert (status, body) == (200, alone[2])
    assert headers["X-Depth-Max"] == alone[1]["X-Depth-Max"]


def test_curl_sends_such_a_form(address, tmp_path):
    if not (curl := shutil.which("curl")):
        pytest.skip("needs curl")
    (tmp_path / "a.png").write_bytes(photo())
    words = [curl, "--silent", "--fail-with-body", "--form", "file=@a.png"]
    body = subprocess.check_output([*words, f"{address}/depth"], cwd=tmp_path)
    assert body.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "parts, status, words",
    [
        ([('name="file"', b"photo.png")], 422, "the form has no file; curl --form"),
        ([file(b"1"), file(b"2")], 422, "Too many files.*takes one file"),
        ([file(b"")], 422, "the file in the form is empty"),
        ([file(b"text", "a.txt")], 415, "'a.txt' is not a picture"),
        ([file(photo()), ('name="sizes"', b"1")], 422, "did you mean 'size'"),
        ([file(photo()), ('name="size"', b"x")], 422, "'x' is not a whole number"),
        ([file(bytes(200_001))], 413, "more than 0.190735 MiB"),
        ([file(bytes(900_000))], 413, "more than 0.190735 MiB"),
        ([('name="a"', bytes(90_000))], 422, "the form cannot be read"),
        ([('filename="a"', b"1")], 422, "the form cannot be read"),
    ],
)
def test_mistakes_are_sentences(address, parts, status, words):
    answered, headers, text = ask(address, "/depth", **form(*parts))
    assert answered == status, text
    assert headers["Content-Type"].startswith("text/plain") and text.count(b"\n") == 1
    assert re.search(words, text.decode()), text


def test_other_bodies_that_hold_a_picture_are_named(address):
    for kind in ("multipart/mixed; boundary=x", "application/json"):
        status, _, text = ask(address, "/depth", b"--x--", content_type=kind)
        assert status == 415 and b"not a picture alone" in text
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        status, _, text = ask(address, "/depth", b"--y\r\n", content_type=kind)
        assert status == 422 and b"the form" in text
