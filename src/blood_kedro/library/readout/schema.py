"""What each entry of `read_out.json` means, as the models say it: the table in docs/read_out.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from blood_kedro.library.readout.read_out import ReadOut


def entries() -> dict[str, dict[str, tuple[str, str]]]:
    """Entries of each part of `read_out.json`: name of the part to name of the entry to type and meaning."""
    schema = ReadOut.model_json_schema()
    parts = {"ReadOut": schema, **schema["$defs"]}
    return {
        part: {
            name: (" or ".join(_types(entry)), str(entry.get("description", "")))
            for name, entry in parts[part].get("properties", {}).items()
        }
        for part in parts
    }


def table() -> str:
    """Markdown: one table for each part, the whole first."""
    lines = []
    for part, rows in entries().items():
        lines += [f"### {part}", "", "| entry | type | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {meaning} |" for name, (kind, meaning) in rows.items()]
        lines.append("")
    return "\n".join(lines)


def _types(entry: dict[str, Any]) -> Iterator[str]:
    """Types that an entry may have, in words."""
    if "$ref" in entry:
        yield str(entry["$ref"]).rpartition("/")[2]
    elif "anyOf" in entry:
        for each in entry["anyOf"]:
            yield from _types(each)
    elif "enum" in entry or "const" in entry:
        yield ", ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    elif entry.get("type") == "array":
        yield "list of " + " or ".join(_types(entry["items"])) if "items" in entry else "list"
    elif entry.get("type") == "object":
        yield "object"
    else:
        yield str(entry.get("type", "any"))
