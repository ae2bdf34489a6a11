"""Fingerprints: short, stable names for configurations and tables, so that a result can say what made it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd


def fingerprint(value: Any) -> str:  # noqa: ANN401 - any JSON-like value
    """First 16 hex digits of the SHA-256 of a JSON-like value (dict order does not matter)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file, read in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table_fingerprint(*tables: pd.DataFrame) -> str:
    """Fingerprint of the content of tables: values and column names, not their index."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(",".join(map(str, table.columns)).encode())
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def seed_for(*parts: int | str) -> int:
    """A 32-bit seed derived from a global seed and names: independent of order of work and of workers."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big")
