"""Downloads that lie: sizes, encodings, redirects, archives of every odd kind, sets that are not what they say."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from blood_kedro.library.core.errors import BloodKedroError, DownloadError, UnsafeFileError
from blood_kedro.library.download import fetch as fetch_module
from blood_kedro.library.download.fetch import fetch
from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.download.published import Archive, Check, Published, published
from blood_kedro.library.download.transfer import ResumingDownloader
from blood_kedro.library.download.unpack import Budget, unpack
from tests.fixtures.archives import zipped

QUICK = DownloadOptions(enabled=True, attempts=2, stall_s=0.5, pause_s=0, max_mb=10, max_unpacked_mb=3)
Answer = Callable[[BaseHTTPRequestHandler], None]


ARCHIVE = zipped({"set/images/a.jpg": b"a" * 1000, "set/images/b.jpg": b"b"})


class Server:
    """Answers by path; remembers the headers of requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return

            def do_GET(self) -> None:
                outer.asked.append((self.path, dict(self.headers)))
                outer.answers[self.path](self)

        self.running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.running.daemon_threads = True
        self.port = self.running.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.running.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.running.shutdown()
    made.running.server_close()


def send(body: bytes, *, length: int | str | None = -1, status: int = 200, **headers: str) -> Answer:
    """An answer; `length` is what it declares, -1 the truth, None nothing."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length == -1 else length))
        else:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        handler.end_headers()
        try:
            handler.wfile.write(body)
        except OSError:
            return

    return answer


def entry(url: str, **changes: Any) -> Published:
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
        "archives": (Archive(name="set.zip", urls=(url,), strip=1),),
        "checks": (Check(files="images/*.jpg", count=2),),
    }
    return Published(**{**values, **changes})


def nothing_fetched(root: Path) -> bool:
    """No set, no archive that the next run would take for whole, no staging."""
    left = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith((".part", ".part.json"))]
    return not left and not (root / "a").exists()


def refused(server: Server, root: Path, said: str, **changes: Any) -> BloodKedroError:
    with pytest.raises((DownloadError, UnsafeFileError)) as caught:
        fetch("a", entry(f"{server.url}/set.zip", **changes), root / "a", QUICK)
    assert said in str(caught.value)
    assert nothing_fetched(root)
    return caught.value


def test_a_set_that_fails_its_check_is_none_and_is_fetched_anew_next_time(server: Server, tmp_path: Path) -> None:
    server.answers["/set.zip"] = send(zipped({"set/images/a.jpg": b"a"}))
    error = refused(server, tmp_path, "1 files images/*.jpg, expected 2")
    assert error.expected == "images/*.jpg"
    server.answers["/set.zip"] = send(ARCHIVE)
    assert fetch("a", entry(f"{server.url}/set.zip"), tmp_path / "a", QUICK)
    assert len(server.asked) == 2
    facts = json.loads((tmp_path / ".downloads/a.json").read_text())
    assert facts["files"][0]["sha256"] == hashlib.sha256(ARCHIVE).hexdigest()


@pytest.mark.parametrize(
    ("files", "checks", "said"),
    [
        ({"set/images/a.jpg": b"x"}, (Check(files="labels/*.txt"),), "no file labels/*.txt"),
        ({"set/images/labels/": b""}, (), "holds no file"),
        ({"a.jpg": b"x", "b.jpg": b"x"}, (), "holds no file"),  # not below the folder that is left out
        ({"set/labels/a.txt/x": b"x"}, (Check(files="labels/*.txt"),), "no file labels/*.txt"),  # a folder is no file
        ({"set/images/a.jpg": b"x"}, (Check(files="images/*.jpg", count=1, sha256="0" * 64),), "differ"),
    ],
)
def test_an_archive_without_the_layout_is_no_set(
    server: Server, tmp_path: Path, files: dict[str, bytes], checks: tuple[Check, ...], said: str
) -> None:
    server.answers["/set.zip"] = send(zipped(files))
    refused(server, tmp_path, said, checks=checks)


def test_every_published_set_says_what_a_copy_holds() -> None:
    assert all(each.checks for each in published().values() if not each.by_hand)


@pytest.mark.parametrize("length", [-1, None], ids=["declared", "not declared"])
def test_a_file_larger_than_its_set_is_not_fetched(server: Server, tmp_path: Path, length: int | None) -> None:
    server.answers["/set.zip"] = send(bytes(2_000_000), length=length)
    refused(server, tmp_path, "larger than this set is said to be")
    assert not list(tmp_path.rglob("*.part"))


def test_a_set_of_unknown_size_is_bounded_too(server: Server, tmp_path: Path) -> None:
    server.answers["/set.zip"] = send(bytes(4_000_000), length=None)
    agreed = QUICK.model_copy(update={"accept_large": True})
    with pytest.raises(DownloadError, match="larger than"):
        fetch("a", entry(f"{server.url}/set.zip", size_mb=None), tmp_path / "a", agreed)
    assert nothing_fetched(tmp_path)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-unknown", "gzip, gzip"])
def test_an_encoded_answer_is_refused(server: Server, tmp_path: Path, encoding: str) -> None:
    server.answers["/set.zip"] = send(gzip.compress(ARCHIVE), Content_Encoding=encoding)
    refused(server, tmp_path, "encodes what it sends")
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("length", ["-5", "many", "1e3", ""])
def test_a_length_that_is_none_counts_for_nothing(server: Server, tmp_path: Path, length: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        send(ARCHIVE, length=length)(handler)

    server.answers["/set.zip"] = answer
    try:
        fetch("a", entry(f"{server.url}/set.zip"), tmp_path / "a", QUICK)
    except DownloadError:
        assert nothing_fetched(tmp_path)
    else:
        assert (tmp_path / "a/images/b.jpg").read_bytes() == b"b"


def test_another_part_than_was_asked_for_is_not_joined(server: Server, tmp_path: Path) -> None:
    part, url = tmp_path / "x.part", f"{server.url}/x"
    part.write_bytes(ARCHIVE[:100])
    part.with_name("x.part.json").write_text(json.dumps({"url": url, "version": '"v"'}))
    answers = [
        send(ARCHIVE[50:], status=206, Content_Range=f"bytes 50-{len(ARCHIVE) - 1}/{len(ARCHIVE)}"),
        send(ARCHIVE),
    ]
    server.answers["/x"] = lambda handler: answers.pop(0)(handler)
    ResumingDownloader(part, attempts=2, pause_s=0)(url, str(tmp_path / "x"), None)
    assert (tmp_path / "x").read_bytes() == ARCHIVE


@pytest.mark.parametrize("facts", [b"", b"[1]", b'{"url"', b'{"url": 1}', b"\xff", b'{"version": 3, "url": "URL"}'])
def test_damaged_facts_of_a_part_begin_anew(server: Server, tmp_path: Path, facts: bytes) -> None:
    part, url = tmp_path / "x.part", f"{server.url}/x"
    part.write_bytes(b"other")
    part.with_name("x.part.json").write_bytes(facts.replace(b"URL", url.encode()))
    server.answers["/x"] = send(ARCHIVE)
    ResumingDownloader(part, attempts=1)(url, str(tmp_path / "x"), None)
    assert (tmp_path / "x").read_bytes() == ARCHIVE
    assert "Range" not in server.asked[0][1]


def test_a_token_goes_over_tls_only(server: Server, tmp_path: Path) -> None:
    server.answers["/x"] = send(ARCHIVE)
    with pytest.raises(DownloadError, match="over https only"):
        ResumingDownloader(tmp_path / "x.part", auth=("me", "key"))(f"{server.url}/x", str(tmp_path / "x"), None)
    assert server.asked == []


def test_a_token_goes_to_its_own_host_only(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror, and what its own host redirects to, get none; hosts are a stand-in for the network's."""
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    made: list[tuple[str, Any]] = []

    class Watched(ResumingDownloader):
        def __call__(self, url: str, output_file: str, pooch: Any) -> None:
            made.append((url, self.auth))
            if self.auth is None:
                super().__call__(url, output_file, pooch)
            else:
                raise DownloadError("not reached here", got=url)

    monkeypatch.setattr(fetch_module, "ResumingDownloader", Watched)
    server.answers["/set.zip"] = send(ARCHIVE)
    own = ["https://www.kaggle.com/x", "https://www.kaggle.com.evil.example/x", "https://evil.example/www.kaggle.com"]
    archive = Archive(name="set.zip", urls=(own[0], f"{server.url}/set.zip"), strip=1)
    fetch("a", entry("", archives=(archive,), account="kaggle"), tmp_path / "a", QUICK)
    assert made == [(own[0], ("me", "secret")), (f"{server.url}/set.zip", None)]
    assert "Authorization" not in server.asked[-1][1]
    made.clear()
    monkeypatch.setattr(ResumingDownloader, "_go_on", lambda *_: (_ for _ in ()).throw(DownloadError("no")))
    for url in own[1:]:
        with pytest.raises(DownloadError):
            fetch("b", entry(url, account="kaggle"), tmp_path / "b", QUICK)
    assert [auth for _, auth in made] == [None, None]


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("https://www.kaggle.com/a", "https://storage.example/a", False),
        ("https://www.kaggle.com/a", "http://www.kaggle.com/a", False),
        ("https://www.kaggle.com/a", "https://www.kaggle.com:8443/a", False),
        ("https://www.kaggle.com/a", "https://www.kaggle.com/b", True),
    ],
)
def test_requests_drops_a_token_as_this_project_relies_on(old: str, new: str, kept: bool) -> None:
    request = requests.Request("GET", new, auth=("me", "key")).prepare()
    answer = requests.Response()
    answer.request = requests.Request("GET", old, auth=("me", "key")).prepare()
    session = requests.Session()
    session.trust_env = False
    session.rebuild_auth(request, answer)
    token = f"Basic {base64.b64encode(b'me:key').decode()}"
    assert (request.headers.get("Authorization") == token) is kept


def deflated(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return buffer.getvalue()


def patched(content: bytes, local: int, central: int, value: bytes) -> bytes:
    """An archive of one file with other bytes at an offset in both of its headers."""
    made = bytearray(content)
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        start = made.index(mark) + offset
        made[start : start + len(value)] = value
    return bytes(made)


def tarred(*members: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(kind: bytes, name: str = "x", target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_mode(name: str, mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        file.writestr(info, "/etc/passwd")
    return buffer.getvalue()


ONE = zipped({"a.jpg": b"x" * 100})
HUGE = struct.pack("<I", 0xFFFFFFF0)
ODD: dict[str, bytes] = {
    "empty": b"",
    "zeros": bytes(100_000),
    "no member": zipped({}),
    "folders alone": zipped({"a/": b"", "a/b/": b""}),
    "half": ARCHIVE[: len(ARCHIVE) // 2],
    "no end": ARCHIVE[:-30],
    "page": b"<html>please log in</html>",
    "absolute": zipped({"/tmp/outside": b"x"}),
    "upwards": zipped({"a/../../outside": b"x"}),
    "upwards, back-slashes": zipped({"a\\..\\..\\outside": b"x"}),
    "drive": zipped({"C:\\outside": b"x"}),
    "long name": zipped({"n" * 300: b"x"}),
    "long name of two-byte letters": zipped({"é" * 200: b"x"}),
    "long path": zipped({"/".join(["d" * 90] * 20): b"x"}),
    "deep": zipped({"/".join("d" * 200): b"x"}),
    "file, then folder": zipped({"a": b"x", "a/b": b"x"}),
    "folder, then file": zipped({"a/b": b"x", "a": b"x"}),
    "file twice": tarred(("a", b"first"), ("a", b"second")),
    "capitals": zipped({"images/A.jpg": b"x", "images/a.jpg": b"y"}),
    "capitals of folders": zipped({"Images/a.jpg": b"x", "images/a.jpg": b"y"}),
    "accents": zipped({"\u00e9.jpg": b"x", "e\u0301.jpg": b"y"}),
    "unknown method": patched(ONE, 8, 10, b"\x63\x00"),
    "encrypted": patched(ONE, 6, 8, b"\x01\x00"),
    "wrong sum": patched(ONE, 14, 16, b"\x01\x02\x03\x04"),
    "declared as huge": patched(ONE, 22, 24, HUGE),
    "declared as smaller": patched(deflated("a", bytes(1000)), 22, 24, struct.pack("<I", 10)),
    "bomb": deflated("a", bytes(5_000_000)),
    "link": zip_mode("a", 0o120777),
    "pipe in a zip": zip_mode("a", 0o010644),
    "tar: link": tarred(special(tarfile.SYMTYPE, target="/etc/passwd")),
    "tar: link, then file through it": tarred(special(tarfile.SYMTYPE, "d", ".."), ("d/outside", b"x")),
    "tar: hard link": tarred(("a", b"x"), special(tarfile.LNKTYPE, "b", "a")),
    "tar: device": tarred(special(tarfile.CHRTYPE)),
    "tar: pipe": tarred(special(tarfile.FIFOTYPE)),
    "tar: upwards": tarred(("../outside", b"x")),
    "tar: absolute": tarred(("/tmp/outside", b"x")),
    "tar: bomb": tarred(("a", bytes(5_000_000)), mode="w:gz"),
    "tar: cut": tarred(("a", bytes(range(256)) * 400), mode="w:gz")[:300],
    "tar: long name": tarred(("n" * 300, b"x")),
    "tar: name that is no text": tarred(("a\udcff", b"x")),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_archives_are_refused_and_nothing_is_written_outside(server: Server, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "one/two/root"
    root.mkdir(parents=True)
    server.answers["/set.zip"] = send(ODD[kind])
    archive = Archive(name="set.zip", urls=(f"{server.url}/set.zip",))
    with pytest.raises((DownloadError, UnsafeFileError)) as caught:
        fetch("a", entry("", archives=(archive,), checks=()), root / "a", QUICK)
    assert caught.value.where
    assert nothing_fetched(root)
    assert not list(tmp_path.rglob("outside"))
    assert not Path("/tmp/outside").exists()
    assert [path.name for path in (root / ".downloads").iterdir() if ".part" not in path.name] == []
    assert not list(root.rglob(".part-*"))


def test_an_archive_in_an_archive_may_not_take_the_place_of_a_file(tmp_path: Path) -> None:
    from blood_kedro.library.download.unpack import unpack_inner

    path = tmp_path / "out.zip"
    path.write_bytes(zipped({"x.zip": zipped({"a.jpg": b"inner"}), "x/a.jpg": b"outer"}))
    unpack(path, tmp_path / "out", Budget())
    with pytest.raises(BloodKedroError):
        unpack_inner(tmp_path / "out", Budget())
    assert (tmp_path / "out/x/a.jpg").read_bytes() == b"outer"


def test_a_name_of_a_record_that_leads_out_is_refused(server: Server, tmp_path: Path) -> None:
    archive = Archive(name="../../set.zip", urls=(f"{server.url}/set.zip",))
    with pytest.raises(UnsafeFileError, match="leads out"):
        fetch("a", entry("", archives=(archive,)), tmp_path / "a", QUICK)
    assert server.asked == []


def test_plain_archives_of_both_kinds_are_unpacked(tmp_path: Path) -> None:
    for content in (zipped({"a/b.jpg": b"x", "./c": b"y"}), tarred(("a/b.jpg", b"x"), ("./c", b"y"), mode="w:xz")):
        (tmp_path / "x").write_bytes(content)
        folder = tmp_path / hashlib.md5(content).hexdigest()
        unpack(tmp_path / "x", folder, Budget())
        assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == {
            "a/b.jpg": b"x",
            "c": b"y",
        }


def test_a_compressed_archive_whose_content_changed_is_damaged(tmp_path: Path) -> None:
    """The checksum stands behind the end mark of the tar archive, where tarfile does not look."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    sound = gzip.compress(buffer.getvalue(), compresslevel=0)
    (tmp_path / "a.tar.gz").write_bytes(sound.replace(b"abc", b"abd"))
    with pytest.raises(UnsafeFileError, match="damaged"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", Budget())
    (tmp_path / "b.tar.gz").write_bytes(sound)
    unpack(tmp_path / "b.tar.gz", tmp_path / "sound", Budget())
    assert (tmp_path / "sound/a.txt").read_bytes() == b"abc"


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(UnsafeFileError, match="cannot be read"):
        unpack(tmp_path / "a.zip", tmp_path / "out", Budget())
