"""Standardize all images of a source: in parallel, streamed, and resumable after a kill.

Each finished image is one line in a journal beside the images. The next call skips images whose line names
the same input and settings, so an interrupted run continues where it stopped and ends with the same result.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from blood_kedro.library.core.files import PART, remove, sweep, write_bytes_atomically
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.standardization.one_image import ImageJob, line_digest, run_job

logger = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"
_BATCH = 8


def standardize_images(jobs: list[ImageJob], folder: Path, workers: int) -> Iterator[dict[str, Any]]:
    """Write `folder/images/*` and yield one record per job, in order of the jobs.

    Args:
        jobs: the images; file names must differ.
        folder: the source's standardized folder; `images/` and the journal lie in it.
        workers: number of processes, 0 for every core.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    _remove_strangers(images, {job.file_name for job in jobs})
    finished = _finished(folder / JOURNAL, jobs, images)
    todo = [job for job in jobs if job.image_id not in finished]
    with (folder / JOURNAL).open("a", encoding="utf-8") as journal:
        for record in _run(todo, images, workers or os.cpu_count() or 1):
            journal.write(json.dumps(record) + "\n")
            journal.flush()
            finished[record["image_id"]] = record
    for job in jobs:
        yield finished[job.image_id]


def _run(jobs: list[ImageJob], images: Path, workers: int) -> Iterable[dict[str, Any]]:
    if workers == 1 or len(jobs) <= _BATCH:
        return (run_job(job, images) for job in jobs)
    batches = [jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH)]
    results = in_processes(partial(_run_batch, images), batches, workers, ordered=False)
    return (record for batch in results for record in batch)


def _run_batch(images: Path, jobs: list[ImageJob]) -> list[dict[str, Any]]:
    return [run_job(job, images) for job in jobs]


def _finished(journal: Path, jobs: list[ImageJob], images: Path) -> dict[str, dict[str, Any]]:
    if not journal.is_file():
        remove(journal)  # nothing, or something that cannot be written to
        return {}
    keys = {job.image_id: job.key for job in jobs}
    finished: dict[str, dict[str, Any]] = {}
    spoiled: list[str] = []
    for line in journal.read_text(encoding="utf-8", errors="replace").split("\n"):
        if not line:
            continue
        try:
            record = json.loads(line)
            same = keys.get(record["image_id"]) == record["key"]
            if same and record["error"] is None:
                if (images / record["file_name"]).stat().st_size != record["bytes"] or not _whole(record):
                    raise ValueError("the picture, or its line in the journal, is not as it was written")
                finished[record["image_id"]] = record
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            spoiled.append(f"{type(error).__name__}: {str(error)[:100]}")
    if spoiled:  # a kill cuts the last line short
        logger.warning("%s: %d entries are spoiled and done again: %s", journal, len(spoiled), spoiled[0])
    # Rewritten without what is stale or cut short, so that the journal never outgrows its source.
    content = "".join(json.dumps(record) + "\n" for record in finished.values())
    write_bytes_atomically(journal, content.encode())
    return finished


def _whole(record: dict[str, Any]) -> bool:
    """Whether a line holds all that `run_job` writes of a picture that it could read, and as it wrote it."""
    return record.get("line") == line_digest(record)


def _remove_strangers(images: Path, wanted: set[str]) -> None:
    sweep(images)
    for path in images.iterdir():
        if (path.name not in wanted or not path.is_file()) and not path.name.startswith(PART):
            remove(path)
