"""The page: its tabs, their looks and the script of the readout."""

from pathlib import Path

import gradio as gr
from gradio.themes import Default

from jax_depth.app.batch_tab import BatchTab
from jax_depth.app.photo_tab import PhotoTab
from jax_depth.app.service import Service
from jax_depth.app.store import Store
from jax_depth.app.video_tab import VideoTab, av_installed

_HERE = Path(__file__).parent
_INTRO = """# jax_depth
Depth of photos, computed on the machine that serves this page and sent nowhere else."""

# Seconds between two cleanings of uploads and pictures, and the age that goes.
_CLEAN, _AGE = 300, 3600

STYLE = (_HERE / "style.css").read_text(encoding="utf-8")
HEAD = f"<script>{(_HERE / 'readout.js').read_text(encoding='utf-8')}</script>"
# A system's own letters: none to fetch, from this server or another.
THEME = Default(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)


def build_page(
    service: Service, store: Store, folder: Path, examples: list[Path]
) -> gr.Blocks:
    """Return the page.

    Args:
        service: answers.
        store: keeps results for the downloads.
        folder: of gradio's uploads, under which pictures are written.
        examples: photos to try.
    """
    with gr.Blocks(
        analytics_enabled=False, title="jax_depth", delete_cache=(_CLEAN, _AGE)
    ) as page:
        gr.Markdown(_INTRO, elem_id="intro")
        with gr.Tab("Photo"):
            PhotoTab(service, store, folder, examples)
        with gr.Tab("Several photos"):
            BatchTab(service, folder)
        if av_installed():
            with gr.Tab("Video"):
                VideoTab(service, folder)
    waiting = service.limits.waiting
    page.queue(max_size=waiting, default_concurrency_limit=waiting)
    return page
