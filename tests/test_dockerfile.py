"""The Dockerfile says what is so: nothing here can build it, so each line is tried."""

import argparse
import json
import re
import subprocess
import sys
import tomllib

import pytest

pytest.importorskip("gradio", reason="the web app needs jax_depth[app]")

import app_server
from app_server import ROOT

from jax_depth.cli import app

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def lines(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction}\s+(.*)$", TEXT, re.MULTILINE)


def test_what_is_copied_is_what_the_wheel_is_built_from():
    copied = {word for line in lines("COPY") for word in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    needed = {"pyproject.toml", project["project"]["readme"]}
    needed |= {*project["project"]["license-files"]}
    where = project["tool"]["setuptools"]["packages"]["find"]["where"]
    assert copied == needed | {"jax_depth" if name == "." else name for name in where}


def test_the_extras_exist():
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    [named] = re.findall(r'"\.\[(.*?)\]"', TEXT)
    assert set(named.split(",")) <= set(extras) and "app" in named


def test_its_command_is_one_and_listens_where_it_says():
    [words] = map(json.loads, lines("ENTRYPOINT"))
    assert words[:2] == ["jax-depth", "app"]
    parser = argparse.ArgumentParser()
    app.add_arguments(parser)
    args = parser.parse_args(words[2:])
    assert [str(args.port)] == lines("EXPOSE") and args.host == "0.0.0.0"


def test_its_check_asks_for_health():
    [check] = lines("HEALTHCHECK")
    words = json.loads(check.partition("CMD")[2])
    assert words[0] == "python"
    with app_server.running(app_server.small()) as server:
        here = server.address
        ask = [word.replace("http://127.0.0.1:7860", here) for word in words[1:]]
        assert ask != words[1:]
        code = lambda: subprocess.run([sys.executable, *ask], capture_output=True)
        assert code().returncode == 0
        server.service.work.stopping = True
        assert code().returncode == 1
    assert code().returncode == 1
