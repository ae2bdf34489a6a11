"""Work of the page in processes of its own, one for small pictures, one for large: a job ends in time or is ended."""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from blood_kedro.library.core.errors import BloodKedroError
from blood_kedro.page_limits import MOST_WAITING

logger = logging.getLogger(__name__)

# Told what share of a job is done, 0 to 1, and what is done now.
Tell = Callable[[float, str], None]


class PageError(BloodKedroError):
    """A job of the page did not end as it should; the message is for the person before it."""


@dataclass(frozen=True)
class _Told:
    share: float
    what: str


class Lane:
    """A queue with one process behind it, which keeps the models that it has loaded.

    Args:
        name: of the queue, for messages.
        most_s: time that a job may take; then its process is killed, and the next job gets a new one.
        work: function of a module, called in the process with the arguments of a job, and with `tell` where somebody
            wants to be told how far it is.
    """

    def __init__(self, name: str, most_s: float, work: Callable[..., Any]) -> None:
        self.name, self.most_s, self.work = name, most_s, work
        self._turn = threading.Lock()
        self._counted = threading.Lock()
        self._jobs = 0
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        atexit.register(self.close)

    def run(self, *arguments: Any, tell: Tell | None = None) -> Any:  # noqa: ANN401 - those of the work
        """What the work returns, when it is this job's turn.

        Args:
            arguments: of the work.
            tell: see there; called in this process.

        Raises:
            PageError: too many wait, the time is up, or the process died.
            Exception: what the work raised.
        """
        with self._counted:
            if self._jobs > MOST_WAITING:
                raise PageError(
                    f"{MOST_WAITING} {self.name} pictures are waiting already", remedy="try again in some minutes"
                )
            self._jobs += 1
        try:
            with self._turn:
                return self._run(arguments, tell)
        finally:
            with self._counted:
                self._jobs -= 1

    def _run(self, arguments: tuple[Any, ...], tell: Tell | None) -> Any:  # noqa: ANN401 - of the work
        connection = self._started()
        try:
            connection.send((arguments, tell is not None))
            is_done, answer = self._answer(connection, tell)
        except (EOFError, OSError) as error:
            code = None if self._process is None else self._process.exitcode
            self.close()
            raise PageError(
                "the program that looked at the picture has died",
                got=f"exit code {code}",
                remedy="most often memory ran out: try a smaller part of the picture",
            ) from error
        if is_done:
            return answer
        raise answer

    def _answer(self, connection: Connection, tell: Tell | None) -> tuple[bool, Any]:
        """Whether the job ended well, and what it returned or raised; until then, what it tells is told."""
        end = time.monotonic() + self.most_s
        while connection.poll(max(0.0, end - time.monotonic())):
            said = connection.recv()
            if isinstance(said, _Told):
                if tell is not None:
                    tell(said.share, said.what)
                continue
            answer: tuple[bool, Any] = said
            return answer
        self.close()
        raise PageError(
            f"the picture was given up after {self.most_s:.0f} s",
            expected="the time that this page allows",
            remedy="cut it to the part that matters, or use make count IMAGES=..., which has no such limit",
        )

    def _started(self) -> Connection:
        if self._process is None or self._connection is None or not self._process.is_alive():
            self.close()
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.work), daemon=True)
            self._process.start()
            theirs.close()
        return self._connection

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join(5)
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _serve(connection: Connection, work: Callable[..., Any]) -> None:
    """In the process: one job after another, until the page has gone."""
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            arguments, tells = connection.recv()
            options = {"tell": lambda share, what: connection.send(_Told(share, what))} if tells else {}
            try:
                answer = True, work(*arguments, **options)
            except BloodKedroError as error:
                answer = False, PageError(str(error))
            except MemoryError:
                answer = False, PageError("memory ran out", remedy="try a smaller part of the picture")
            except Exception as error:
                logger.exception("a job of the page failed")
                answer = (
                    False,
                    PageError(
                        "this picture could not be looked at",
                        got=f"{type(error).__name__}: {error}",
                        remedy="see the log of the page for where; another picture may do",
                    ),
                )
            connection.send(answer)
