"""A published set onto this machine: consent, transfer, checksum, unpacking, check of what came out."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pooch

from blood_kedro.library.core.errors import ConfigurationError, DownloadError, UnsafeFileError
from blood_kedro.library.core.files import remove, sweep_once, temporary_name, write_bytes_atomically
from blood_kedro.library.core.hashing import sha256_of_file
from blood_kedro.library.core.logs import at_level
from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.download.published import Archive, Published, problems
from blood_kedro.library.download.transfer import ResumingDownloader
from blood_kedro.library.download.unpack import Budget, keep_only, unpack, unpack_inner

logger = logging.getLogger(__name__)

# Beside the sets: archives, parts of archives, and a record of what came from where.
_CACHE = ".downloads"
_TOKEN_HOSTS = {"www.kaggle.com", "kaggle.com"}
# Sizes of the table are estimates: an archive of more than so many times that is another thing.
_ESTIMATE = 1.5


def fetch(name: str, entry: Published, folder: Path, options: DownloadOptions) -> bool:
    """Fetch a set into `folder`, unless that holds something already.

    Everything happens in a folder beside it, which is renamed at the end: a set is there as a whole or not at all.

    Returns:
        Whether something was fetched.

    Raises:
        ConfigurationError: it is large and nobody has agreed, or a token is missing.
        DownloadError: no address has it, what came is not what it should be, or the disk takes no more.
        UnsafeFileError: an archive tries to write where it must not.
    """
    if folder.is_dir() and any(folder.iterdir()):
        return False
    if not options.enabled:
        return False
    if entry.by_hand is not None:
        raise DownloadError(
            f"{name} cannot be fetched by a program: {entry.by_hand}",
            where=entry.home,
            remedy=f"download it with a browser and unpack it into {folder.absolute()}",
        )
    _ask(name, entry, folder, options)
    auth = _kaggle_token(entry.home) if entry.account == "kaggle" else None
    cache = folder.parent / _CACHE
    cache.mkdir(parents=True, exist_ok=True)
    budget = Budget(megabytes=options.max_unpacked_mb)
    record = []
    archives = _of_doi(entry.doi) if entry.doi else entry.archives
    sweep_once(cache)
    staging = temporary_name(cache)
    staging.mkdir()
    try:
        for archive in archives:
            file, url = _archive(archive, cache, options, auth, _most_bytes(entry, options))
            record.append({"url": url, "sha256": sha256_of_file(file), "bytes": file.stat().st_size})
            _unpacked(file, staging, archive, budget)
        _check(name, entry, staging, [cache / archive.name for archive in archives])
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():
            folder.rmdir()  # empty, as checked above
        staging.replace(folder)
    finally:
        remove(staging)
    facts = {"fetched": datetime.now(UTC).isoformat(timespec="seconds"), "licence": entry.licence, "files": record}
    write_bytes_atomically(cache / f"{name}.json", json.dumps(facts, indent=1).encode())
    if not options.keep_archives:
        for archive in archives:
            (cache / archive.name).unlink(missing_ok=True)
    return True


def _most_bytes(entry: Published, options: DownloadOptions) -> int:
    """What an archive may have: half more than the table says of the set, since it estimates; else what may unpack."""
    megabytes = options.max_unpacked_mb if entry.size_mb is None else _ESTIMATE * entry.size_mb
    return int(1e6 * megabytes)


def _check(name: str, entry: Published, staging: Path, archives: Sequence[Path]) -> None:
    """Refuse a copy that lacks what the table says of the set, and its archives, which the next run would meet again.

    Raises:
        DownloadError: it is not the set that the table describes.
    """
    faults = list(problems(staging, entry.checks))
    if faults:
        for path in archives:
            path.unlink(missing_ok=True)
        raise DownloadError(
            f"what was fetched is not {name} as it is known",
            where=entry.home,
            got="; ".join(faults),
            expected=", ".join(check.files for check in entry.checks),
            remedy="look at its home: if the set has changed, download it by hand and unpack it into raw_root",
        )


def _ask(name: str, entry: Published, folder: Path, options: DownloadOptions) -> None:
    """Say what is about to be fetched; refuse a large set that nobody has agreed to."""
    size = "of unknown size" if entry.size_mb is None else f"{entry.size_mb:g} MB"
    logger.info("%s (%s), licence: %s, from %s", entry.title, size, entry.licence, entry.home)
    logger.info("if you use it, cite: %s", entry.citation)
    if not options.accept_large and (entry.size_mb is None or entry.size_mb > options.max_mb):
        raise ConfigurationError(
            f"{name} is a large download ({size}) and is fetched only if you say so",
            where=entry.home,
            got=f"licence: {entry.licence}",
            remedy=f"--params=download.accept_large=true, or put it into {folder.absolute()} yourself, "
            f"or sources.{name}.enabled=false",
        )


def _archive(
    archive: Archive, cache: Path, options: DownloadOptions, auth: tuple[str, str] | None, most_bytes: int
) -> tuple[Path, str]:
    """The archive on this machine and the address it came from: the first that has it, whole and right.

    A token goes to its own host alone, never to a mirror.
    """
    if Path(archive.name).name != archive.name:  # of a record's list, which strangers write
        raise UnsafeFileError("the name of an archive leads out of its folder", got=ascii(archive.name))
    urls: Sequence[str] = (*options.mirrors.get(archive.name, ()), *archive.urls)
    failures = []
    for url in urls:
        part = cache / f"{archive.name}.part"
        host_auth = auth if urlsplit(url).hostname in _TOKEN_HOSTS else None
        transfer = ResumingDownloader(part, options.attempts, options.stall_s, options.pause_s, host_auth, most_bytes)
        try:
            with at_level(pooch.get_logger(), logging.WARNING):  # what is fetched is said above
                return Path(pooch.retrieve(url, archive.checksum, archive.name, cache, downloader=transfer)), url
        except DownloadError as error:
            failures.append(f"{url}: {error.what} ({error.got})")
        except ValueError as error:  # what pooch raises where a checksum is wrong; it keeps nothing of it
            failures.append(f"{url}: {str(error).splitlines()[0]}")
        except OSError as error:  # requests' errors besides those that are tried again: too many redirects, bad address
            failures.append(f"{url}: {type(error).__name__}: {error}")
    raise DownloadError(
        f"no address has {archive.name}",
        where=urls[0] if urls else "",
        got="\n    ".join(failures),
        remedy="try again later, name a mirror under download.mirrors, or download it by hand",
    )


def _unpacked(file: Path, staging: Path, archive: Archive, budget: Budget) -> None:
    try:
        unpack(file, staging, budget, archive.strip)
        if archive.find is not None:
            unpack_inner(staging, budget)
            keep_only(staging, archive.find)
    except UnsafeFileError:
        file.unlink(missing_ok=True)  # not to be met again by the next run
        raise


def _of_doi(doi: str) -> tuple[Archive, ...]:
    """The files of a record of Zenodo, figshare or Dataverse, with the checksums that it gives."""
    try:
        record = pooch.create(path=pooch.os_cache("blood_kedro"), base_url=f"doi:{doi}/")
        record.load_registry_from_doi()
        home = pooch.downloaders.doi_to_repository(doi)
        names = sorted(record.registry)
        archives = tuple(
            Archive(name=name, urls=(home.download_url(name),), checksum=record.registry[name])
            for name in names
            if name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz"))
        )
    except (OSError, ValueError) as error:
        raise DownloadError(
            "the list of files of a record cannot be had",
            where=f"https://doi.org/{doi}",
            got=str(error),
            remedy="try again later, or download it by hand",
        ) from error
    if not archives:
        raise DownloadError(
            "the record holds no archive",
            where=f"https://doi.org/{doi}",
            got=", ".join(names) or "no file",
            remedy="look at its page, and download it by hand",
        )
    return archives


def _kaggle_token(home: str) -> tuple[str, str]:
    """User and key of the Kaggle API, from the environment or `~/.kaggle/kaggle.json`.

    Raises:
        ConfigurationError: there is none, or others may read it.
    """
    user, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if user and key:
        return user, key
    path = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle")) / "kaggle.json"
    remedy = (
        "make a token at kaggle.com (Settings, API, Create New Token) and save it as ~/.kaggle/kaggle.json, mode 600, "
        "or set KAGGLE_USERNAME and KAGGLE_KEY; or download the set with a browser"
    )
    if not path.is_file():
        raise ConfigurationError("this set needs your Kaggle token", where=home, got=f"no {path}", remedy=remedy)
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        logger.warning("%s can be read by others: chmod 600 %s", path, path)
    try:
        token = json.loads(path.read_text(encoding="utf-8"))
        return str(token["username"]), str(token["key"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError("the Kaggle token cannot be read", where=str(path), remedy=remedy) from error
