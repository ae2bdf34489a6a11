"""Fetching sets from a server on this machine that stalls, cuts, corrupts, redirects and lies."""

from __future__ import annotations

import hashlib
import json
import logging
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from blood_kedro.library.core.errors import ConfigurationError, DownloadError, UnsafeFileError
from blood_kedro.library.download.fetch import fetch
from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.download.published import Archive, Check, Published, problems, published
from blood_kedro.library.download.transfer import ResumingDownloader
from blood_kedro.library.download.unpack import Budget, unpack
from tests.fixtures.archives import zipped

QUICK = DownloadOptions(enabled=True, attempts=4, stall_s=0.4, pause_s=0, max_mb=10)


# Incompressible, so that half of the archive is half of its files.
IMAGE = bytes((k * 73 + k // 7) % 256 for k in range(300_000))
ARCHIVE = zipped({"set-main/images/a.jpg": IMAGE, "set-main/images/b.jpg": IMAGE[::-1], "set-main/LICENSE": b"MIT"})


@dataclass
class Server:
    """What each path does, in order of requests (the last goes on), and what was asked for."""

    url: str
    acts: dict[str, list[str]] = field(default_factory=dict)
    ranges: list[str | None] = field(default_factory=list)
    content: bytes = ARCHIVE


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            return

        def do_GET(self) -> None:
            acts = state.acts.get(self.path, ["missing"])
            act = acts.pop(0) if len(acts) > 1 else acts[0]
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            body, status = state.content, 200
            if act.startswith("redirect"):
                self.send_response(302)
                self.send_header("Location", act.partition(" ")[2])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if act in {"missing", "busy", "beyond"}:
                self.send_response({"missing": 404, "busy": 503, "beyond": 416}[act])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if act == "page":
                body = b"<html>please log in</html>"
            if act == "corrupt":
                body = bytes([body[0] ^ 1]) + body[1:]
            start = 0
            if asked and self.headers.get("If-Range") == '"v1"' and act != "changed":
                start, status = int(asked[6:-1]), 206
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("ETag", '"v2"' if act == "changed" else '"v1"')
            self.end_headers()
            half = start + (len(body) - start) // 2
            if act == "stall":
                self.wfile.write(body[start:half])
                self.wfile.flush()
                time.sleep(1.2)
                self.close_connection = True
            elif act == "cut":
                self.wfile.write(body[start:half])
                self.close_connection = True
            else:
                self.wfile.write(body[start:])

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    state.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield state
    running.shutdown()
    running.server_close()


def entry(*urls: str, checksum: bool = True, **changes: Any) -> Published:
    known = f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}" if checksum else None
    values: dict[str, Any] = {
        "title": "A set",
        "home": "https://example.org/set",
        "licence": "CC BY 4.0",
        "citation": "Somebody (2020)",
        "images": 2,
        "size_mb": 1,
        "labels": "none",
        "tried": True,
        "known_faults": "none",
        "archives": (Archive(name="set.zip", urls=urls, checksum=known, strip=1),),
        "checks": (Check(files="images/*.jpg", count=2),),
    }
    return Published(**{**values, **changes})


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


WHOLE = {"LICENSE": b"MIT", "images/a.jpg": IMAGE, "images/b.jpg": IMAGE[::-1]}


def test_a_set_is_fetched_once_with_licence_and_size_said(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.acts["/set.zip"] = ["send"]
    caplog.set_level(logging.INFO)
    assert fetch("a", entry(f"{server.url}/set.zip"), tmp_path / "a", QUICK)
    assert content(tmp_path / "a") == WHOLE
    assert "(1 MB), licence: CC BY 4.0" in caplog.text and "cite: Somebody (2020)" in caplog.text
    assert "sha256" in (tmp_path / ".downloads/a.json").read_text()
    assert not fetch("a", entry(f"{server.url}/set.zip"), tmp_path / "a", QUICK)
    assert len(server.ranges) == 1
    assert not (tmp_path / ".downloads/set.zip").exists()


@pytest.mark.parametrize("fault", ["stall", "cut"])
def test_what_had_arrived_is_gone_on_from(server: Server, tmp_path: Path, fault: str) -> None:
    server.acts["/set.zip"] = [fault, fault, "send"]
    fetch("a", entry(f"{server.url}/set.zip"), tmp_path / "a", QUICK)
    assert content(tmp_path / "a") == WHOLE
    first, second = (int(str(asked)[6:-1]) for asked in server.ranges[1:])
    half, chunk = len(ARCHIVE) // 2, 1 << 16  # of a chunk that did not arrive whole nothing is kept
    assert half - chunk < first <= half
    sent = first + (len(ARCHIVE) - first) // 2
    assert sent - chunk < second <= sent


def test_the_next_run_goes_on_too_and_a_changed_file_begins_anew(server: Server, tmp_path: Path) -> None:
    server.acts["/set.zip"] = ["cut"]
    patient = QUICK.model_copy(update={"attempts": 1})
    with pytest.raises(DownloadError, match=r"run the same command again|no address has set\.zip"):
        fetch("a", entry(f"{server.url}/set.zip"), tmp_path / "a", patient)
    assert not (tmp_path / "a").exists()
    server.acts["/set.zip"] = ["changed"]
    fetch("a", entry(f"{server.url}/set.zip"), tmp_path / "a", QUICK)
    assert server.ranges[-1] is not None  # it asked to go on, and got the new file whole
    assert content(tmp_path / "a") == WHOLE


def test_a_part_of_another_address_is_not_gone_on_from(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "x.part"
    part.write_bytes(b"0" * 10)
    (tmp_path / "x.part.json").write_text('{"url": "elsewhere", "version": "v"}')
    server.acts["/x"] = ["send"]
    ResumingDownloader(part, attempts=1)(f"{server.url}/x", str(tmp_path / "x"), None)
    assert server.ranges == [None]
    assert (tmp_path / "x").read_bytes() == ARCHIVE


def test_a_part_that_is_no_part_of_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    part, url = tmp_path / "x.part", f"{server.url}/x"
    part.write_bytes(b"0" * (len(ARCHIVE) + 10))
    (tmp_path / "x.part.json").write_text(json.dumps({"url": url, "version": '"v1"'}))
    server.acts["/x"] = ["beyond", "send"]
    ResumingDownloader(part, attempts=2, pause_s=0)(url, str(tmp_path / "x"), None)
    assert server.ranges == [f"bytes={len(ARCHIVE) + 10}-", None]
    assert (tmp_path / "x").read_bytes() == ARCHIVE


def test_mirrors_are_tried_in_order_and_a_corrupt_one_is_passed_over(server: Server, tmp_path: Path) -> None:
    server.acts |= {"/bad.zip": ["corrupt"], "/busy.zip": ["busy"], "/good.zip": ["send"]}
    urls = [f"{server.url}/{name}" for name in ("gone.zip", "bad.zip", "busy.zip", "good.zip")]
    fetch("a", entry(*urls), tmp_path / "a", QUICK)
    assert content(tmp_path / "a") == WHOLE
    with pytest.raises(DownloadError) as caught:
        fetch("b", entry(*urls[:3]), tmp_path / "b", QUICK)
    assert "status 404" in str(caught.value) and "hash" in str(caught.value).lower() and "503" in str(caught.value)
    assert not (tmp_path / "b").exists()
    own = QUICK.model_copy(update={"mirrors": {"set.zip": (urls[3],)}})
    fetch("b", entry(urls[0]), tmp_path / "b", own)
    assert content(tmp_path / "b") == WHOLE


def test_redirects_are_followed_but_not_for_ever(server: Server, tmp_path: Path) -> None:
    server.acts |= {"/a": [f"redirect {server.url}/b"], "/b": ["send"], "/c": [f"redirect {server.url}/c"]}
    fetch("a", entry(f"{server.url}/a"), tmp_path / "a", QUICK)
    assert content(tmp_path / "a") == WHOLE
    with pytest.raises(DownloadError, match="TooManyRedirects"):
        fetch("c", entry(f"{server.url}/c"), tmp_path / "c", QUICK)


def test_a_page_in_place_of_the_archive_is_said(server: Server, tmp_path: Path) -> None:
    server.acts["/set.zip"] = ["page", "send"]
    with pytest.raises(UnsafeFileError, match="is no archive"):
        fetch("a", entry(f"{server.url}/set.zip", checksum=False), tmp_path / "a", QUICK)
    assert not (tmp_path / "a").exists()
    fetch("a", entry(f"{server.url}/set.zip", checksum=False), tmp_path / "a", QUICK)  # nothing bad was kept
    assert content(tmp_path / "a") == WHOLE


def test_large_sets_need_consent_and_some_an_account(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server.url}/set.zip"
    server.acts["/set.zip"] = ["send"]
    for size in (11, None):
        with pytest.raises(ConfigurationError, match="accept_large=true") as caught:
            fetch("a", entry(url, size_mb=size), tmp_path / "a", QUICK)
        assert "CC BY 4.0" in str(caught.value)
    assert server.ranges == []
    fetch("a", entry(url, size_mb=None), tmp_path / "a", QUICK.model_copy(update={"accept_large": True}))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match="needs your Kaggle token"):
        fetch("b", entry(url, account="kaggle"), tmp_path / "b", QUICK)
    (tmp_path / "kaggle.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        fetch("b", entry(url, account="kaggle"), tmp_path / "b", QUICK)
    (tmp_path / "kaggle.json").write_text('{"username": "me", "key": "k"}')
    assert fetch("b", entry(url, account="kaggle"), tmp_path / "b", QUICK)
    with pytest.raises(DownloadError, match="terms to be accepted"):
        fetch("c", published()["raabin_wbc"], tmp_path / "c", QUICK)
    assert not fetch("d", entry(url), tmp_path / "d", DownloadOptions())  # off unless asked for


def test_inner_archives_are_unpacked_where_a_folder_is_looked_for(server: Server, tmp_path: Path) -> None:
    inner = zipped({"PBC/basophil/BA_1.jpg": b"x"})
    server.content = zipped({"snk-1/PBC.zip": inner, "snk-1/readme.txt": b"hello"})
    server.acts["/set.zip"] = ["send"]
    archive = Archive(name="set.zip", urls=(f"{server.url}/set.zip",), find="PBC")
    fetch("a", entry(archives=(archive,), checks=()), tmp_path / "a", QUICK)
    assert content(tmp_path / "a") == {"PBC/basophil/BA_1.jpg": b"x"}
    missing = archive.model_copy(update={"find": "nothing"})
    with pytest.raises(UnsafeFileError, match="folder nothing"):
        fetch("b", entry(archives=(missing,), checks=()), tmp_path / "b", QUICK)
    assert not (tmp_path / "b").exists()


def link(archive: tarfile.TarFile) -> None:
    info = tarfile.TarInfo("set/link")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive.addfile(info)


def outside(archive: tarfile.TarFile) -> None:
    archive.addfile(tarfile.TarInfo("../outside.txt"))


@pytest.mark.parametrize(("write", "reason"), [(link, "link or a device"), (outside, "leads out of its folder")])
def test_tar_files_that_would_write_elsewhere(
    write: Callable[[tarfile.TarFile], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        write(archive)
    with pytest.raises(UnsafeFileError, match=reason):
        unpack(path, tmp_path / "out", Budget())
    assert not (tmp_path / "outside.txt").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "..\\x", "C:/x"])
def test_zip_paths_that_lead_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({name: b"x"}))
    with pytest.raises(UnsafeFileError, match="leads out of its folder"):
        unpack(tmp_path / "a.zip", tmp_path / "out", Budget())
    assert [p.name for p in tmp_path.rglob("*")] == ["a.zip"]


def test_zip_links_bombs_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafeFileError, match="holds a link"):
        unpack(path, tmp_path / "out", Budget())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(5_000_000))
    with pytest.raises(UnsafeFileError, match="more than 1 MB"):
        unpack(path, tmp_path / "out", Budget(megabytes=1))
    path.write_bytes(zipped({str(k): b"x" for k in range(9)}))
    with pytest.raises(UnsafeFileError, match="more than 5 files"):
        unpack(path, tmp_path / "out", Budget(files=5))
    damaged = bytearray(zipped({"a": IMAGE}))
    damaged[1000] ^= 255
    path.write_bytes(bytes(damaged))
    with pytest.raises(UnsafeFileError, match="damaged"):
        unpack(path, tmp_path / "out", Budget())


def test_the_table_is_complete_and_its_checks_hold_on_real_copies(shared_data: Path, tmp_path: Path) -> None:
    for name, each in published().items():
        assert each.archives or each.doi or each.by_hand, name
        assert all(url.startswith("https://") for archive in each.archives for url in archive.urls)
    assert list(problems(shared_data / "bccd", published()["bccd"].checks)) == []
    # The copy of Chula at hand leaves images without labels out; its label files are all there.
    assert list(problems(shared_data / "chula", published()["chula"].checks)) == [
        "630 files Dataset/*.jpg, expected 738"
    ]
    (tmp_path / "Label").mkdir()
    for path in (shared_data / "chula/Label").glob("*.txt"):
        (tmp_path / "Label" / path.name).write_bytes(path.read_bytes() + b" ")
    checks = published()["chula"].checks[:1]
    assert list(problems(tmp_path, checks)) == ["the files Label/*.txt differ from those this project was made with"]


def test_a_record_with_a_doi_is_fetched_file_by_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record's own list of files and checksums is used; here it is that of a stand-in for figshare."""
    import pooch

    server.acts |= {"/one.zip": ["send"]}

    class Record:
        def download_url(self, name: str) -> str:
            return f"{server.url}/{name}"

        def populate_registry(self, made: Any) -> None:
            made.registry["one.zip"] = f"md5:{hashlib.md5(ARCHIVE).hexdigest()}"
            made.registry["readme.pdf"] = "md5:0"

    monkeypatch.setattr(pooch.core, "doi_to_repository", lambda *_, **__: Record())
    monkeypatch.setattr(pooch.downloaders, "doi_to_repository", lambda *_, **__: Record())
    fetch("a", entry(archives=(), checks=(), doi="10.6084/m9.figshare.1"), tmp_path / "a", QUICK)
    assert set(content(tmp_path / "a")) == {f"set-main/{name}" for name in WHOLE}
    monkeypatch.setattr(Record, "populate_registry", lambda _, made: made.registry.update({"readme.pdf": "md5:0"}))
    with pytest.raises(DownloadError, match="holds no archive"):
        fetch("b", entry(archives=(), doi="10.6084/m9.figshare.1"), tmp_path / "b", QUICK)
    assert not (tmp_path / "b").exists()
    monkeypatch.setattr(pooch.core, "doi_to_repository", lambda *_, **__: (_ for _ in ()).throw(ValueError("no such")))
    with pytest.raises(DownloadError, match="list of files"):
        fetch("b", entry(archives=(), doi="10.6084/m9.figshare.2"), tmp_path / "b", QUICK)
