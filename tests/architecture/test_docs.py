"""README and docs for a stranger: links lead somewhere, no word needs an insider, every page is in the contents."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown.extensions.toc import slugify

from blood_kedro.commands.front import main
from tests.conftest import PROJECT

DOCS = PROJECT / "docs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "notebooks/README.md"]
)
# Written by a benchmark, in its words.
WRITTEN_ELSEWHERE = {"benchmarks.md", "study.md"}
# Pages that scripts/docs_pages.py makes when the site is built.
GENERATED = re.compile(r"(cards|pipelines|api)/\w+\.md|registries\.md|tables\.md")
LINK = re.compile(r"\]\(([^)\s]+)\)")
# What only those understand who wrote it: private numbers of papers, and turns that say less than they seem to.
PRIVATE_WORDS = re.compile(
    r"\bpapers?[ _]00\d|\bas asked\b|\basked (?:for|of)\b|\bwhat it leaves\b|\bleast score\b|\bbesides\b|\bmade anew\b"
    r"|\bmakes (?:it|them) anew\b|\bcounts? for nothing\b",
    re.IGNORECASE,
)
# Papers by a number, which only we would know.
NUMBERED_PAPER = re.compile(r"(?:papers?[ _]|published_)00\d", re.IGNORECASE)
CODE = {".py", ".yml", ".j2", ".md", ".toml", ".ipynb", ".js", ".html"}


def prose(text: str) -> str:
    """Of a page of Markdown: without blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Of the headings of a page, as the site makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    return frozenset(slugify(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title), "-") for title in titles)


def broken(page: Path, text: str) -> list[str]:
    """Links of a page, of this text, to files, pages or headings that are not there."""
    wrong = []
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if target.is_relative_to(DOCS) and GENERATED.fullmatch(target.relative_to(DOCS).as_posix()):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


def nav_pages(entries: list[Any]) -> list[str]:
    """Pages of a `nav` of mkdocs, in its order."""
    paths: list[str] = []
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        paths += nav_pages(value) if isinstance(value, list) else [value]
    return paths


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_links_that_lead_nowhere_are_seen() -> None:
    text = "[a](none.md) [b](glossary.md#none) [c](glossary.md#glossary) [d](cards/bccd.md) [e](https://example.org/x)"
    assert broken(DOCS / "index.md", text) == ["none.md", "glossary.md#none"]


def test_no_page_speaks_to_insiders() -> None:
    spoken = {
        page.relative_to(PROJECT).as_posix(): PRIVATE_WORDS.findall(page.read_text(encoding="utf-8"))
        for page in PAGES
        if page.name not in WRITTEN_ELSEWHERE
    }
    assert {page: words for page, words in spoken.items() if words} == {}
    assert PRIVATE_WORDS.search("as paper 004 does") and PRIVATE_WORDS.search("`view: paper_003`")


def test_no_parameter_and_no_report_speaks_to_insiders() -> None:
    """What the pages of pipelines, tables and reports show: configuration, descriptions of tables, and templates."""
    folders = ("conf", "src/blood_kedro/library/core/schemas", "src/blood_kedro/library/reporting/templates")
    files = [
        file for folder in folders for file in (PROJECT / folder).rglob("*") if file.suffix in {".yml", ".py", ".j2"}
    ]
    assert len(files) > 20
    spoken = {
        file.relative_to(PROJECT).as_posix(): PRIVATE_WORDS.findall(file.read_text(encoding="utf-8")) for file in files
    }
    assert {name: words for name, words in spoken.items() if words} == {}


def test_code_names_papers_by_author_and_year() -> None:
    folders = ("src", "benchmarks", "scripts", "conf", "notebooks", "tests")
    files = [file for folder in folders for file in (PROJECT / folder).rglob("*") if file.suffix in CODE]
    assert len(files) > 300
    numbered = [
        f"{file.relative_to(PROJECT)}: {found.group()}"
        for file in files
        if file != Path(__file__)
        for found in NUMBERED_PAPER.finditer(f"{file.name} {file.read_text(encoding='utf-8')}")
    ]
    assert numbered == []
    assert NUMBERED_PAPER.search("as Paper 003 does") and NUMBERED_PAPER.search("from core.paper_003 import SHAPES")


def test_every_page_is_in_the_contents_once() -> None:
    nav = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = [path for path in nav_pages(nav) if not GENERATED.fullmatch(path)]
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_commands_of_the_readme_are_there() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8") + (PROJECT / "CONTRIBUTING.md").read_text(
        encoding="utf-8"
    )
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = set(re.findall(r"(?:^|[`&] ?)make ([a-z-]+)", text, re.MULTILINE))
    assert {"install", "run", "test"} <= used <= targets
    assert {"read-out"} <= set(re.findall(r"bin/blood-kedro ([a-z-]+)", text)) <= set(main.commands)


def test_pictures_are_small() -> None:
    large = [path.name for path in DOCS.rglob("*.jpg") if path.stat().st_size > 700_000]
    assert large == []
    assert (DOCS / "read_out.jpg").stat().st_size < 300_000
