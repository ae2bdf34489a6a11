"""Whether a port is free, before a page is served at it: `python -m blood_kedro.ports mlflow 5000`."""

from __future__ import annotations

import socket
import sys

from blood_kedro.library.core.errors import BloodKedroError, ConfigurationError, PortTakenError

_HIGHEST = 65535


def check(target: str, port: str | int, host: str = "127.0.0.1") -> int:
    """The port as a number, if a server can listen at it.

    Args:
        target: of make, which `PORT=` moves elsewhere.
        port: as it was given.
        host: that the server will listen at.

    Raises:
        ConfigurationError: it is no port.
        PortTakenError: another program listens there.
    """
    if not str(port).isdecimal() or not 1 <= int(port) <= _HIGHEST:
        raise ConfigurationError(f"no port: {port}. Give a number from 1 to {_HIGHEST}: make {target} PORT=<number>")
    number = int(port)
    if not _is_free(host, number):
        others = (each for each in range(number + 1, min(number + 100, _HIGHEST)) if _is_free(host, each))
        raise PortTakenError(
            f"port {number} is taken by another program: stop it, or use another port: "
            f"make {target} PORT={next(others, '<number>')}"
        )
    return number


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        # As servers do: a port whose last connection has just ended can be taken.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
            tried.listen(1)
        except OSError:
            return False
    return True


def main() -> None:
    """Say in one line that a port is taken, and end with 1; else say nothing."""
    target, port = sys.argv[1:3]
    try:
        check(target, port)
    except BloodKedroError as error:
        sys.exit(f"make {target}: {error}")


if __name__ == "__main__":
    main()
