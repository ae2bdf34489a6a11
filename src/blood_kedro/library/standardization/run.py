"""Standardize all images of a source: in parallel, streamed, and resumable after a kill.

Each finished image is one line in a journal beside the images. The next call skips images whose line names
the same input and settings, so an interrupted run continues where it stopped and ends with the same result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.standardization.job import ImageJob, run_job

JOURNAL = "journal.jsonl"
_OF_RECORD = {"key", "image_id", "file_name", "error", "boxes", "scale", "new_size_px", "padding_px"}
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
        return {}
    keys = {job.image_id: job.key for job in jobs}
    done: dict[str, dict[str, Any]] = {}
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
        record = _record(line)
        if record is None:
            continue
        same = keys.get(record["image_id"]) == record["key"]
        if same and record["error"] is None and (images / record["file_name"]).is_file():
            done[record["image_id"]] = record
    # Rewritten without what is stale or cut short, so that the journal never outgrows its source.
    temporary = journal.with_suffix(".part")
    temporary.write_text("".join(json.dumps(record) + "\n" for record in done.values()), encoding="utf-8")
    temporary.replace(journal)
    return done


def _record(line: str) -> dict[str, Any] | None:
    """A line of the journal; None for one that a kill cut short or a disk spoiled, whose image is made anew."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(record, dict) and record.keys() >= _OF_RECORD and isinstance(record["file_name"], str)
    return record if whole and isinstance(record["image_id"], str) else None


def _remove_strangers(images: Path, wanted: set[str]) -> None:
    for path in images.iterdir():
        if path.name not in wanted:
            path.unlink()
