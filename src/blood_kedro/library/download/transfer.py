"""One file over HTTP that goes on where it stopped: after a stall, a cut connection, or in the next run."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm

from blood_kedro.library.core.errors import DownloadError
from blood_kedro.library.core.files import write_bytes_atomically

logger = logging.getLogger(__name__)

_CHUNK = 1 << 16


@dataclass(frozen=True)
class ResumingDownloader:
    """A downloader for `pooch`, whose own starts anew after every failure.

    What has arrived stays in `<part>`, beside it how the server named that version (its ETag or date), so that parts of
    two versions are never joined.

    Attributes:
        part: file that keeps what has arrived.
        attempts: connections that are tried before it gives up.
        stall_s: seconds without a byte after which a connection is given up.
        pause_s: before the second attempt; twice as long before each further one.
        auth: user and password, or None; sent over TLS only, and to nobody that an answer redirects to.
        most_bytes: of the file; one that is larger is not fetched to its end. None: as many as the server declares.
    """

    part: Path
    attempts: int = 5
    stall_s: float = 60.0
    pause_s: float = 1.0
    auth: tuple[str, str] | None = None
    most_bytes: int | None = None

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:  # noqa: ANN401, ARG002 - pooch's protocol
        """Fetch `url` into `output_file`.

        Raises:
            DownloadError: the address has no such file, the connection failed too often, or what comes is encoded,
                larger than it may be, or would need a password over a connection that others can read.
        """
        if self.auth and urlsplit(url).scheme != "https":
            raise DownloadError(
                "a token is sent over https only",
                where=url,
                got=urlsplit(url).scheme or "no scheme",
                remedy="name an https address, or download it by hand",
            )
        self.part.parent.mkdir(parents=True, exist_ok=True)
        reason = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause_s * 2 ** (attempt - 1))
            try:
                self._go_on(url)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                reason = f"{type(error).__name__}: {error}"
            except _Incomplete as error:
                reason = str(error)
            else:
                self.part.replace(output_file)
                self._facts.unlink(missing_ok=True)
                return
            logger.info("attempt %d of %d on %s failed: %s", attempt + 1, self.attempts, url, reason)
        raise DownloadError(
            f"the connection failed {self.attempts} times",
            where=url,
            got=reason,
            remedy="run the same command again: it goes on where it stopped",
        )

    @property
    def _facts(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")

    def _go_on(self, url: str) -> None:
        have, version = self._state(url)
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
        # requests drops the token where an answer redirects to another host or port, or from https to http.
        with requests.get(url, headers=headers, stream=True, timeout=(15, self.stall_s), auth=self.auth) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink(missing_ok=True)  # a part that is longer than the file: begin anew
                raise _Incomplete("what had arrived does not belong to this file")
            if answer.status_code >= 500 or answer.status_code == requests.codes.too_many_requests:
                raise _Incomplete(f"status {answer.status_code}")
            if not answer.ok:
                raise DownloadError(
                    "the server refuses this file",
                    where=url,
                    got=f"status {answer.status_code} {answer.reason}",
                    remedy="look whether its home has moved",
                )
            start = have if answer.status_code == requests.codes.partial_content else 0
            total = self._total(url, answer, start)
            self._remember(url, answer.headers)
            self._receive(answer, start, total)

    def _total(self, url: str, answer: requests.Response, start: int) -> int | None:
        """Bytes of the whole file as the server declares them; None where it does not.

        Raises:
            DownloadError: the answer is encoded, or the file larger than it may be.
            _Incomplete: another part came than was asked for.
        """
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in {"", "identity"}:
            raise DownloadError(
                "the server encodes what it sends, so that its size says nothing",
                where=url,
                got=f"Content-Encoding: {encoding}",
                expected="the file as it is, not compressed",
                remedy="name a mirror under download.mirrors, or download it by hand",
            )
        if start and not answer.headers.get("Content-Range", f"bytes {start}-").startswith(f"bytes {start}-"):
            self.part.unlink(missing_ok=True)
            raise _Incomplete(f"another part came: {answer.headers['Content-Range']}")
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length is not None and length.isascii() and length.isdigit() else None
        if total is not None:
            self._check_size(url, total)
        return total

    def _check_size(self, url: str, size: int) -> None:
        if self.most_bytes is not None and size > self.most_bytes:
            self.part.unlink(missing_ok=True)
            self._facts.unlink(missing_ok=True)
            raise DownloadError(
                "the file is larger than this set is said to be",
                where=url,
                got=f"{size / 1e6:,.1f} MB or more",
                expected=f"{self.most_bytes / 1e6:,.1f} MB at most",
                remedy="look at its home: the set may have changed, or something else is in its place",
            )

    def _receive(self, answer: requests.Response, start: int, total: int | None) -> None:
        have = start
        with (
            self.part.open("ab" if start else "wb") as file,
            tqdm(
                total=total, initial=start, unit="B", unit_scale=True, desc=self.part.name, disable=None, leave=False
            ) as bar,
        ):
            for chunk in answer.iter_content(_CHUNK):
                have += len(chunk)
                self._check_size(answer.url, have if total is None else max(have, total))
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and have != total:
            raise _Incomplete(f"{have} of {total} bytes arrived")

    def _state(self, url: str) -> tuple[int, str]:
        """Bytes that can be gone on from, and the version they are of."""
        if not self.part.is_file() or not self._facts.is_file():
            return 0, ""
        try:
            facts = json.loads(self._facts.read_text(encoding="utf-8"))
            version = facts["version"] if facts["url"] == url else ""
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            logger.warning("%s is damaged, the file is fetched anew: %s", self._facts, error)
            version = ""
        return (self.part.stat().st_size, version) if version and isinstance(version, str) else (0, "")

    def _remember(self, url: str, headers: Any) -> None:  # noqa: ANN401 - a case-insensitive mapping
        tag = headers.get("ETag") or ""
        version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
        write_bytes_atomically(self._facts, json.dumps({"url": url, "version": version}).encode())


class _Incomplete(Exception):  # noqa: N818 - a state of one attempt, not an error of the program
    """An attempt that ended too early."""
