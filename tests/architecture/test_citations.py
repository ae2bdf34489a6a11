"""What code, tests, configuration and pages lean on stands in this repository: every citation of a page finds it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from markdown.extensions.toc import slugify

ROOT = Path(__file__).parents[2]
CITING = ("src", "tests", "conf", "benchmarks", "scripts", "docs", "notebooks")
TEXTS = sorted(
    path
    for folder in CITING
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".yml", ".md", ".j2", ".ipynb"} and path != Path(__file__)
)
# `docs/<page>.md`, as code cites it, with the anchor where there is one.
_CITATION = re.compile(r"\bdocs/((?:[\w-]+/)*[\w-]+\.md)(?:#([\w-]+))?")
# A link of a page to a page of facts, relative to itself.
_LINK = re.compile(r"\]\(((?:\.\./)*(?:facts/)?(?:data|peer|transfer|versions)\.md)(?:#([\w-]+))?\)")
# Pages that were cited without being here.
_ELSEWHERE = re.compile(r"\bfacts-\w+\.md|shared/design")


@cache
def anchors(page: Path) -> frozenset[str]:
    """Of the headings of a page, as the site makes them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return frozenset(slugify(title, "-") for title in re.findall(r"^#+ (.+)$", prose, re.MULTILINE))


def citations(path: Path) -> list[tuple[Path, str]]:
    """Pages and anchors (empty: none) that a file cites."""
    text = path.read_text()
    cited = [(ROOT / "docs" / page, anchor) for page, anchor in _CITATION.findall(text)]
    if path.suffix == ".md":
        cited += [((path.parent / page).resolve(), anchor) for page, anchor in _LINK.findall(text)]
    return cited


def missing(path: Path) -> list[str]:
    """Citations of a file that lead nowhere, and such of a page of facts that do not say which fact."""
    wrong = []
    for page, anchor in citations(path):
        if not page.is_file():
            wrong.append(f"{page.name}: no such page")
        elif anchor and anchor not in anchors(page):
            wrong.append(f"{page.name}#{anchor}: no such heading")
        elif not anchor and page.parent.name == "facts" and path.suffix != ".md":
            wrong.append(f"{page.name}: which fact?")
    return wrong + _ELSEWHERE.findall(path.read_text())


def test_every_citation_finds_its_page() -> None:
    wrong = {str(path.relative_to(ROOT)): missing(path) for path in TEXTS}
    assert {path: reasons for path, reasons in wrong.items() if reasons} == {}


def test_facts_are_cited_and_a_wrong_citation_is_found(tmp_path: Path) -> None:
    cited = {page.stem for path in TEXTS for page, _ in citations(path) if page.parent.name == "facts"}
    assert cited == {"data", "peer", "transfer", "versions"}
    wrong = tmp_path / "module.py"
    folder = "docs/"
    wrong.write_text(
        f"# {folder}facts/data.md#bccd and {folder}facts/data.md#none, {folder}facts/peer.md, facts-peer.md\n"
    )
    assert missing(wrong) == ["data.md#none: no such heading", "peer.md: which fact?", "facts-peer.md"]
