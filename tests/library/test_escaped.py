"""Names of files are strangers' text: no page takes them for HTML."""

from __future__ import annotations

import ast
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.reporting.picture_pages import PAGE, Picture, write_own_report

SOURCE = Path(__file__).parents[2] / "src" / "blood_kedro"
NASTY = ["<img src=x onerror=alert(1)>", "\"><script>alert('1')<%2Fscript>", "' onload='alert(1)", "a&b <b>"]


class Tags(HTMLParser):
    """Tags and attributes of a page, as a browser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", NASTY)
def test_the_page_of_own_images_shows_names_as_text(tmp_path: Path, name: str) -> None:
    box = {"x_min_px": 1.0, "y_min_px": 1.0, "x_max_px": 9.0, "y_max_px": 9.0}
    cells = pd.DataFrame([{"image": name, "label": "rbc", "type": name, "score": 0.9, **box}])
    counts = pd.DataFrame([{"image": name, "width_px": 20, "height_px": 20, "rbc": 1, "wbc": 0, "platelet": 0}])
    rejects = pd.DataFrame([{"path": f"{name}.jpg", "reason": f"unreadable: {name}"}])
    picture = Picture(name, np.full((20, 20, 3), 200, np.uint8), 1.0, f"{name}.jpg")
    folder = write_own_report(tmp_path / "page", name, [picture], cells, counts, [f"Model {name}"], rejects)
    tags = Tags((folder / PAGE).read_text(encoding="utf-8")).tags
    assert {tag for tag, _ in tags} <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "span",
        "a",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "figure",
        "img",
        "figcaption",
    }
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert [set(attributes) for attributes in images] == [{"src", "alt", "loading"}]
    assert images[0]["alt"] == f"{name} with the found cells"
    assert not any(key.startswith("on") for _, attributes in tags for key in attributes)


def test_every_template_is_escaped() -> None:
    """`select_autoescape` goes by the ending of a name and leaves out `.html.j2`: escaping is on for all."""
    made = [
        call
        for path in SOURCE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) == "Environment"
    ]
    assert made
    for call in made:
        chosen = {keyword.arg: keyword.value for keyword in call.keywords}
        assert isinstance(chosen.get("autoescape"), ast.Constant)
        assert chosen["autoescape"].value is True
