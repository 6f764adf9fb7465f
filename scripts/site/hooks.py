"""What the site adds to `docs/`: pages made of files in the repository, and the API.

MkDocs calls `on_files`, `on_nav` and `on_page_markdown`. Texts stay where readers of
the repository look for them (README.md, convert/README.md); here they become pages, and
the links between them become links between pages. Each public package gets an API page
made from its `__all__`, so that no name is forgotten.
"""

import importlib
import inspect
import json
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]

# Page -> the file in the repository that it shows.
PAGES = {
    "start.md": "README.md",
    "weights.md": "convert/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "model-card.md": "jax_depth/assets/tiny/MODEL_CARD.md",
}
# The page made of the notebook, which as a file is not part of the site.
LESSON, NOTEBOOK = "first-depth.md", "docs/quickstart.ipynb"
PACKAGES = (
    "jax_depth",
    "jax_depth.outputs",
    "jax_depth.video",
    "jax_depth.data",
    "jax_depth.training",
    "jax_depth.training.losses",
    "jax_depth.evaluation",
    "jax_depth.study",
    "jax_depth.export",
    "jax_depth.formats",
    "jax_depth_convert",
)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in `docs/`."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    lesson = notebook_page(ROOT / NOTEBOOK)
    files.append(File.generated(config, LESSON, content=lesson))
    told: dict[object, str] = {}
    for package in PACKAGES:
        text = api_page(package, told)
        files.append(File.generated(config, f"api/{package}.md", content=text))
    return files


def on_config(config: Any) -> Any:
    """Replace `api/` in the navigation by a page for each package."""
    for section in config.nav:
        if section.get("Python") == "api/":
            section["Python"] = [{name: f"api/{name}.md"} for name in PACKAGES]
    return config


def on_page_markdown(markdown: str, *, page: Any, files: Files, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    name = page.file.src_uri
    here = PurePosixPath(PAGES.get(name, f"docs/{name}")).parent

    def turned(match: re.Match[str]) -> str:
        mark, text, target, part = match.groups()
        if not target or "://" in target or target.startswith(("mailto:", "data:")):
            return match.group()
        path = posixpath.normpath(str(here / target))
        if path == "docs":
            path = "docs/index.md"
        made = PAGES | {LESSON: NOTEBOOK}
        site = next((p for p, source in made.items() if source == path), None)
        if site is None and path.startswith("docs/"):
            site = path.removeprefix("docs/")
        if site is None or files.get_file_from_path(site) is None:
            # In the repository only, so named and not linked.
            return text if text.startswith("`") else f"{text} (`{path}`)"
        start = posixpath.dirname(name) or "."
        return f"{mark}[{text}]({posixpath.relpath(site, start)}{part or ''})"

    return _LINK.sub(turned, markdown)


def notebook_page(path: Path) -> str:
    """Return the page of a notebook: its texts, its code and what that returned."""
    lines = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            lines += [source, ""]
            continue
        lines += ["```python", source, "```", ""]
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/jpeg" in data:
                picture = "".join(data["image/jpeg"]).replace("\n", "")
                lines += [f"![What it draws](data:image/jpeg;base64,{picture})", ""]
            else:
                text = "".join(output.get("text") or data["text/plain"]).rstrip()
                lines += ["```text", text, "```", ""]
    return "\n".join(lines)


def api_page(package: str, told: dict[object, str]) -> str:
    """Return the page of a package: its docstring, then a section for each name.

    Args:
        package: its name.
        told: name -> the page that describes it; this page's names are added.
    """
    module = importlib.import_module(package)
    lines = [f"# {package}", "", *_prose(inspect.getdoc(module) or ""), ""]
    names = getattr(module, "__all__", None) or vars(module)
    for name in sorted(names, key=str.lower):
        value = getattr(module, name)
        if name.startswith("_"):
            continue
        if not callable(value) or not hasattr(value, "__qualname__"):
            continue  # tables and constants, which the package's docstring mentions
        if home := told.get(value):
            lines += [f"## {name}", "", f"As in [{home}]({home}.md).", ""]
            continue
        told[value] = package
        lines += [
            f"::: {value.__module__}.{value.__qualname__}",
            "    options:",
            f'      heading: "{name}"',
            "      heading_level: 2",
            "",
        ]
    return "\n".join(lines)


def _prose(text: str) -> list[str]:
    """Return a docstring as Markdown, with its lines of code as code blocks."""
    blocks = []
    for block in text.split("\n\n"):
        code = re.search(r"^(from|import|with|\w+ = |\w+\.\w+\()", block, re.M)
        indented = all(line.startswith("    ") for line in block.split("\n"))
        if code or indented:
            block = f"```python\n{inspect.cleandoc(block)}\n```"
        blocks += [block, ""]
    return blocks
