"""The site of the documentation is read from its files: its search works without a server and without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.conftest import PROJECT
from tests.pipelines.browser import browser_page

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages, built as `make docs` builds all of them, but for the reference."""
    config = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))
    config["plugins"] = [plugin for plugin in config["plugins"] if isinstance(plugin, str)]
    for key in ("hooks", "nav", "exclude_docs", "extra_css"):
        del config[key]
    docs = tmp_path / "docs"
    shutil.copytree(PROJECT / "docs/javascripts", docs / "javascripts")
    (docs / "index.md").write_text("# Home\n\nNothing of interest.\n", encoding="utf-8")
    (docs / "cells.md").write_text("# Cells\n\nA knizocyte has two hollows.\n", encoding="utf-8")
    path = tmp_path / "mkdocs.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    build(load_config(str(path), strict=True, site_dir=str(tmp_path / "site")))
    return tmp_path / "site"


def test_search_finds_a_page_from_a_file(site: Path) -> None:
    with browser_page() as seen:
        seen.page.context.set_offline(True)
        addresses: list[str] = []
        seen.page.on("request", lambda request: addresses.append(request.url))
        seen.page.goto((site / "index.html").as_uri())
        seen.page.click(".md-search__input")
        seen.page.keyboard.type("knizocyte", delay=20)
        seen.page.get_by_text("1 matching document").wait_for()
        link = seen.page.locator(".md-search-result__link").first.get_attribute("href") or ""
        assert link.split("?")[0] == (site / "cells.html").as_uri()
        assert [address for address in addresses if address.startswith("http")] == []
        assert seen.errors == []
