"""The page: its tabs, their looks and the script of the readout."""

from pathlib import Path

import gradio as gr
from gradio.themes import Default

from jax_depth.app.batch_tab import BatchTab
from jax_depth.app.photo_tab import PhotoTab
from jax_depth.app.place_tab import PlaceTab, any_view
from jax_depth.app.service import Service
from jax_depth.app.store import Store
from jax_depth.app.video_tab import VideoTab, av_installed
from jax_depth.app.webcam_tab import WebcamTab

_HERE = Path(__file__).parent
_INTRO = """# jax_depth
Depth of photos, computed on the machine that serves this page and sent nowhere else."""

# A key that gradio announces to screen readers, but does not translate; and the button
# that starts a camera, of which nothing is recorded.
_WORDS = {"common.complete": "Done", "audio.record": "Start"}

# Seconds between two cleanings of uploads and pictures, and the age that goes.
_CLEAN, _AGE = 300, 3600

STYLE = (_HERE / "style.css").read_text(encoding="utf-8")
_SCRIPTS = ("names.js", "readout.js", "lost_job.js", "scene.js")
HEAD = "".join(
    f"<script>{(_HERE / name).read_text(encoding='utf-8')}</script>"
    for name in _SCRIPTS
)
# A system's own letters: none to fetch, from this server or another. Gradio's orange
# and its palest grey have a contrast of 2.8 and 1.9 on white; people need 4.5 to read.
THEME = Default(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    color_accent="*primary_700",
    color_accent_soft_dark="*neutral_700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_title_text_color="*neutral_700",
    block_label_text_color="*neutral_700",
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
        if any_view(service.models):
            with gr.Tab("One place"):
                PlaceTab(service, folder)
        if av_installed():
            with gr.Tab("Video"):
                VideoTab(service, folder)
        with gr.Tab("Camera"):
            WebcamTab(service)
    page.i18n_instance = gr.I18n(en=_WORDS)
    waiting = service.limits.waiting
    page.queue(max_size=waiting, default_concurrency_limit=waiting)
    return page
