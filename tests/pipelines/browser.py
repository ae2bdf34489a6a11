"""A real browser without a window, and programs that it looks at."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(command: list[str], url: str, folder: Path, env: dict[str, str], seconds: float = 240) -> Iterator[None]:
    """Run a server in a folder until the block ends; enter it when `url` answers."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(url, process, log, seconds)
            yield
        finally:
            process.terminate()
            process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Until an address answers.

    Raises:
        AssertionError: its server has ended, or it does not answer in time.
    """
    end = time.time() + seconds
    while time.time() < end:
        assert process.poll() is None, f"{url} ended with {process.returncode}: {log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} does not answer: {log.read_text()[-2000:]}")


class Page:
    """A page of the browser that remembers what went wrong on it."""

    def __init__(self, page: Any) -> None:
        self.page, self.errors = page, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", lambda answer: self._answered(answer.status, answer.url))
        page.on("console", lambda message: self._said(message.type, message.text))

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.errors.append(f"{status} {url}")

    def _said(self, kind: str, text: str) -> None:
        # There is no network: what pages ask of others (fonts) fails here, and is not ours.
        if kind == "error" and "ERR_NAME_NOT_RESOLVED" not in text and "ERR_INTERNET_DISCONNECTED" not in text:
            self.errors.append(text)


@contextmanager
def browser_page(width: int = 1400, height: int = 900, scheme: str = "light") -> Iterator[Page]:
    """A fresh page; skips where no Chromium is installed."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        try:
            yield Page(context.new_page())
        finally:
            browser.close()
