"""The page of `make app`: what is on it, and how it is served."""

from __future__ import annotations

import html
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro import page_folder, page_limits, ports
from blood_kedro.app import COUNT, DETECT, detectors, look, models, parameters
from blood_kedro.library.core.errors import BloodKedroError
from blood_kedro.page_lanes import Lane, PageError
from blood_kedro.page_limits import LARGE_S, LIMITS, MOST_MB, MOST_WAITING, SMALL_S

if TYPE_CHECKING:
    import gradio as gr

logger = logging.getLogger(__name__)


def serve(root: Path, port: int = 7860) -> None:
    """Serve the page on this machine until it is stopped."""
    host = os.environ.get("BLOOD_KEDRO_APP_HOST", "127.0.0.1")
    try:
        number = ports.check("app", os.environ.get("BLOOD_KEDRO_APP_PORT", port), host)
    except BloodKedroError as error:
        sys.exit(f"{error} (or BLOOD_KEDRO_APP_PORT=...)")
    folder = page_folder.own()
    results, uploads = folder / "results", folder / "gradio"
    results.mkdir()
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # uploads and what Gradio copies, before it is imported
    os.environ["TMPDIR"] = str(folder)  # of the processes that do the work: some are killed
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr

    # Fonts of this machine, not from a server of fonts.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    page = build(root, results).queue(max_size=3 * MOST_WAITING)
    page.launch(
        server_name=host,
        server_port=number,
        share=False,
        theme=theme,
        footer_links=[],
        show_error=True,
        max_file_size=f"{MOST_MB}mb",
    )


def build(root: Path, folder: Path) -> gr.Blocks:
    """The page; `folder` takes the results."""
    import gradio as gr

    values = parameters(root)
    known = detectors(root, values)
    small, large = Lane("small", SMALL_S, look), Lane("large", LARGE_S, look)

    def answer(file: str | None, task: str, detector: str | None, cell_px: float, score: float) -> tuple[Any, ...]:
        try:
            page_folder.sweep(folder)
            if not file:
                raise PageError("choose an image first")
            lane = large if page_limits.check(Path(file)) else small
            made = lane.run(
                root,
                values,
                Path(file),
                task,
                detector=detector,
                cell_px=float(cell_px or 0),
                score=float(score or 0),
                kept=Path(tempfile.mkdtemp(dir=folder)),
            )
        except BloodKedroError as error:
            raise gr.Error(_shown(str(error), file), duration=None, print_exception=False) from error
        except Exception as error:
            logger.exception("the page failed")
            raise gr.Error(_shown(f"this failed: {type(error).__name__}: {error}", file), duration=None) from error
        return _markdown(made.used), made.overlay, made.counts, made.cells, made.files

    with gr.Blocks(
        title="blood-kedro", analytics_enabled=False, delete_cache=(page_folder.KEPT_S, page_folder.KEPT_S)
    ) as page:
        gr.Markdown("# Blood smear\nFor research. Not a medical device: no diagnosis may rest on these numbers.")
        gr.Markdown("\n".join(f"- {html.escape(line)}" for line in models(root, values)), elem_id="models")
        gr.Markdown(
            f"{LIMITS} Uploads and results are deleted after an hour, and when the page is stopped.", elem_id="limits"
        )
        with gr.Row():
            with gr.Column(scale=1):
                file = gr.File(
                    label="image (PNG, JPEG, TIFF, BMP, WebP)", file_types=["image", ".tif", ".tiff", ".jfif"]
                )
                task = gr.Radio([COUNT, DETECT], value=COUNT, label="what to do")
                cell_px = gr.Slider(0, 200, value=0, step=1, label="width of a red cell, px (0: measured)")
                detector = gr.Dropdown(known, value=known[0], label="detector")
                score = gr.Slider(0, 1, value=0.5, step=0.05, label="least score (detector)")
                button = gr.Button("Look", variant="primary", elem_id="look")
                files = gr.Files(label="files")
            with gr.Column(scale=3):
                used = gr.Markdown(elem_id="used")
                picture = gr.Image(
                    label="red cells red, white cells green, platelets violet",
                    elem_id="overlay",
                    buttons=["download", "fullscreen"],
                )
                counts = gr.Dataframe(label="counts", elem_id="counts")
                cells = gr.Dataframe(label="cells", max_height=320)
        # The lanes are the queues: whoever waits in them must not keep others from getting so far.
        button.click(
            answer,
            [file, task, detector, cell_px, score],
            [used, picture, counts, cells, files],
            concurrency_limit=3 * MOST_WAITING,
        )
    made: gr.Blocks = page
    return made


def _shown(message: str, file: str | None) -> str:
    """A message for the page, which takes it for HTML; names of files are strangers' text, where they lie is ours."""
    return html.escape(message.replace(f"{Path(file).parent}/", "") if file else message).replace("\n", "<br>")


def _markdown(lines: list[str]) -> str:
    return "\n\n".join(html.escape(line) for line in lines)
