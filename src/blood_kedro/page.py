"""The page of `make app`: what is on it, and how it is served."""

from __future__ import annotations

import html
import logging
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro import page_folder, page_limits, ports
from blood_kedro.answers import Answer, corrected
from blood_kedro.app import READ_OUT, detectors, look, models
from blood_kedro.library.core.errors import BloodKedroError
from blood_kedro.page_example import EXAMPLE, example_field
from blood_kedro.page_lanes import Lane, PageError, Tell
from blood_kedro.page_limits import LARGE_S, LIMITS, MOST_SLIDE_MB, MOST_WAITING, SMALL_S

if TYPE_CHECKING:
    import gradio as gr

logger = logging.getLogger(__name__)

CORRECTIONS = "corrections"
# Names of files are to be read: Gradio gives them what sizes and buttons leave of a narrow column. How far it is takes
# the place of what was there.
_STYLE = """
#first { min-height: 5rem; }
#first .pending { opacity: 0 !important; }
.file-preview td { padding: .35rem .2rem !important; }
.file-preview td.filename { width: auto !important; font-size: .85rem; }
.file-preview td.download { width: 5.6rem !important; min-width: 0 !important; font-size: .8rem; }
.file-preview td:last-child:not(.download) { width: 1.5rem !important; }
"""
_WELCOME = (
    "<p>Drop the pictures of one smear at the left, or take the example, and press Read out: counts, a verdict, the "
    "differential, shapes, sizes and platelets come here, with every cell to look at and to name anew.</p>"
)
# The viewer is made anew for each answer; what somebody saves comes as an event of the component.
_GLUE = """
const mount = () => {
  const data = props.value;
  const root = element.querySelector(".viewer-root");
  if (!root || !data || !data.pictures) return;
  bloodViewer(root, data, (corrections, unsaved) => {
    const sent = unsaved.length ? unsaved : corrections;  // again, where somebody asks for it again
    trigger("submit", { corrections: sent });
    root.wasSaved(`${sent.length} sent; what was saved is said below`);
  });
};
watch("value", mount);
mount();
"""


def serve(root: Path, port: int = 7860) -> None:
    """Serve the page on this machine until it is stopped."""
    host = os.environ.get("BLOOD_KEDRO_APP_HOST", "127.0.0.1")
    try:
        number = ports.check("app", os.environ.get("BLOOD_KEDRO_APP_PORT", port), host)
    except BloodKedroError as error:
        sys.exit(f"{error} (or BLOOD_KEDRO_APP_PORT=...)")
    folder = page_folder.private_folder()
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
        css=_STYLE,
        footer_links=[],
        show_error=True,
        max_file_size=f"{MOST_SLIDE_MB}mb",
    )


class _Questions:
    """The left side: what is to be read out, and how."""

    def __init__(self, root: Path) -> None:
        import gradio as gr

        trained = detectors(root)
        self.files = gr.File(
            label="pictures of one smear (PNG, JPEG, TIFF, BMP, WebP), or a slide",
            file_count="multiple",
            file_types=["image", ".tif", ".tiff", ".jfif", ".svs", ".ndpi", ".scn"],
            elem_id="pictures",
        )
        with gr.Row():
            self.look = gr.Button("Read out", variant="primary", elem_id="look")
            self.example = gr.Button("Example", elem_id="example")
        with gr.Accordion("Settings", open=False):
            self.settings = {
                "cell_px": gr.Number(label="width of a red cell, px (empty: measured)", minimum=0, elem_id="cell_px"),
                "um_per_px": gr.Number(label="micrometres per pixel (empty: what the file says)", minimum=0),
                "rbc_per_ul": gr.Number(label="red cells per microlitre, from a counter", minimum=0),
            }
            self.task = gr.Dropdown([READ_OUT, *trained], value=READ_OUT, label="models", elem_id="task")
            self.by = gr.Textbox(label="your name or initials, kept with corrections")
        self.archive = gr.Files(label="results", elem_id="files")
        gr.Markdown("\n".join(f"- {html.escape(line)}" for line in models(root, trained)), elem_id="models")
        gr.Markdown(
            f"{LIMITS} Uploads and results are deleted after an hour, and when the page is stopped; corrections are "
            f"kept in the folder {CORRECTIONS}.",
            elem_id="limits",
        )


class _Answers:
    """The right side: verdict and numbers, pictures with their cells, then each part."""

    def __init__(self) -> None:
        import gradio as gr

        from blood_kedro.library.reporting.read_out_page import styles
        from blood_kedro.library.reporting.viewer import script

        css = styles()
        self.first = gr.HTML(_WELCOME, elem_id="first", css_template=css)
        self.viewer = gr.HTML(
            value={},
            html_template='<div class="viewer-root"></div>',
            css_template=css,
            js_on_load=f"{script()}\n{_GLUE}",
            apply_default_css=False,
            elem_id="viewer",
        )
        self.saved = gr.Markdown(elem_id="saved")
        self.parts = gr.HTML(elem_id="parts", css_template=css)
        self.used = gr.Markdown(elem_id="used")


def build(root: Path, folder: Path) -> gr.Blocks:
    """The page; `folder` takes the results."""
    import gradio as gr

    small, large = Lane("small", SMALL_S, look), Lane("large", LARGE_S, look)

    tracker: Any = gr.Progress()

    def answer(
        files: list[str] | None,
        task: str,
        cell_px: float | None,
        um_per_px: float | None,
        rbc_per_ul: float | None,
        progress: Tell = tracker,
    ) -> tuple[Any, ...]:
        try:
            page_folder.sweep(folder)
            if not files:
                raise PageError("choose a picture first, or take the example")
            pictures = [Path(file) for file in files]
            lane = large if page_limits.check_all(pictures) else small
            values = {"cell_px": cell_px, "um_per_px": um_per_px, "rbc_per_ul": rbc_per_ul}
            settings = {name: float(value) for name, value in values.items() if value}
            results = Path(tempfile.mkdtemp(dir=folder))
            answered = lane.run(root, pictures, task, settings, results, tell=progress)
        except BloodKedroError as error:
            raise gr.Error(_shown(str(error), files), duration=None, print_exception=False) from error
        except Exception as error:
            logger.exception("the page failed")
            raise gr.Error(_shown(f"this failed: {type(error).__name__}: {error}", files), duration=None) from error
        return (
            answered.first,
            answered.viewer,
            answered.parts,
            answered.files,
            _markdown(answered.used),
            replace(answered, viewer={}),
            "",
        )

    def save(last: Answer | None, by: str | None, event: gr.EventData) -> tuple[Any, ...]:
        from blood_kedro.assembly.own_corrections import keep_corrections

        try:
            if last is None:
                raise PageError("nothing was read out yet")
            rows, folder = event.corrections, root / CORRECTIONS
            said = keep_corrections(folder, last.looked_at, rows, (by or "").strip(), last.made_with)
            now = corrected(last, rows)
        except BloodKedroError as error:
            raise gr.Error(_shown(str(error), None), duration=None, print_exception=False) from error
        return html.escape(said), now.first, now.parts, now.files, now

    # Gradio looks the name up in this module, which does not import it before it is needed.
    save.__annotations__["event"] = gr.EventData

    with gr.Blocks(
        title="blood-kedro", analytics_enabled=False, delete_cache=(page_folder.KEPT_S, page_folder.KEPT_S)
    ) as page:
        gr.Markdown("# Blood smear\nFor research. Not a medical device: no diagnosis may rest on these numbers.")
        last = gr.State()
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                asked = _Questions(root)
            with gr.Column(scale=4):
                shown = _Answers()
        # The lanes are the queues: whoever waits in them must not keep others from getting so far.
        asked.look.click(
            answer,
            [asked.files, asked.task, *(asked.settings[name] for name in ("cell_px", "um_per_px", "rbc_per_ul"))],
            [shown.first, shown.viewer, shown.parts, asked.archive, shown.used, last, shown.saved],
            concurrency_limit=3 * MOST_WAITING,
            show_progress_on=[shown.first],
        )
        asked.example.click(lambda: [str(example_field(folder.parent / EXAMPLE))], None, asked.files)
        shown.viewer.submit(save, [last, asked.by], [shown.saved, shown.first, shown.parts, asked.archive, last])
    blocks: gr.Blocks = page
    return blocks


def _shown(message: str, files: list[str] | None) -> str:
    """A message for the page, which takes it for HTML; names of files are strangers' text, where they lie is ours."""
    for file in files or ():
        message = message.replace(f"{Path(file).parent}/", "")
    return html.escape(message).replace("\n", "<br>")


def _markdown(lines: list[str]) -> str:
    return "\n\n".join(html.escape(line) for line in lines)


if __name__ == "__main__":
    serve(Path.cwd())
