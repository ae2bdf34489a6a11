"""Pages of the documentation that are made from what the project holds: mkdocs calls this when it builds the site.

One page per pipeline from its wiring, its catalog and its parameters; the table and the cards of data sets from
`library/download/published.yml`; the tables from the catalog and their schemas; the reference of every public module.
Nothing of these is typed a second time.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

from kedro.framework.project import configure_project
from kedro.pipeline import Pipeline
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from blood_kedro.environments import config_loader

ROOT = Path(__file__).parents[1]
PIPELINES = (
    "ingestion", "standardization", "merging", "detection_training", "rbc_morphology", "overlap_weak_supervision",
    "sam_counting", "reporting",
)  # fmt: skip
TOPICS = (
    "cells", "core", "corrections", "counting", "detection", "download", "evaluation", "imaging", "merging",
    "morphology", "overlap", "readout", "reporting", "smears", "sources", "standardization", "training",
)  # fmt: skip
ENVIRONMENTS = {"base": "the demo", "laptop": "real data, two cores", "bccd": "BCCD alone", "paper": "as published"}
MORE = {
    "detection_training": ("regimens.md", "Regimens"), "rbc_morphology": ("single_cells.md", "Single cells"),
    "overlap_weak_supervision": ("overlap.md", "Overlapping cells"), "sam_counting": ("counting.md", "Counting"),
    "ingestion": ("data_sources.md", "Data sources"),
}  # fmt: skip

_TYPES = (("str", "text"), ("int", "integer"), ("float", "number"), ("bool", "true or false"))
_UNITS = (
    ("px_per_um", "px/µm"),
    ("_per_mm2", "1/mm²"),
    ("_per_ul", "1/µL"),
    ("_per_second", "1/s"),
    ("_px2", "px²"),
    ("_px", "px"),
    ("_um", "µm"),
    ("_percent$", "%"),
    ("seconds", "s"),
    ("_s", "s"),
    ("_mb", "MB"),
    ("_m", "millions"),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - mkdocs' own signature
    """Put the table of data sets, and that of the read-out, where a page asks for it."""
    from blood_kedro.library.readout import schema

    markdown = markdown.replace("<!-- table of data sets -->", table_of_sets())
    return markdown.replace("<!-- table of the read-out -->", schema.table())


def pages() -> dict[str, str]:
    """Path below docs/ to content, of every generated page."""
    configure_project("blood_kedro")
    os.environ["KEDRO_ENV"] = "base"
    by_path = {f"pipelines/{name}.md": pipeline_page(name) for name in PIPELINES}
    by_path |= {f"cards/{name}.md": card(name) for name in _published()}
    return by_path | {"registries.md": registries_page(), "tables.md": tables_page()} | api_pages()


def pipeline_page(name: str) -> str:
    """Nodes, datasets and parameters of a pipeline."""
    from blood_kedro.pipeline_registry import register_pipelines

    pipeline = register_pipelines()[name]
    patterns = _catalog()
    lines = [f"# {name}", "", _first_line(ROOT / f"src/blood_kedro/pipelines/{name}/pipeline.py"), ""]
    if name in MORE:
        page, title = MORE[name]
        lines += [f"What it does, and why: [{title}](../{page}).", ""]
    lines += ["## Nodes", "", "As `base` has them; sources, regimens and the like are namespaces of one template.", ""]
    lines += ["| node | takes | gives |", "|---|---|---|"]
    for node in _one_of_each(pipeline):
        takes, gives = (
            ", ".join(f"`{d}`" for d in sorted(names) if not d.startswith("params:"))
            for names in (node.inputs, node.outputs)
        )
        lines.append(f"| `{node.name}` | {takes} | {gives} |")
    lines += ["", "## What it writes", "", "| dataset | where |", "|---|---|"]
    mine = {pattern for dataset in pipeline.outputs() | _inner(pipeline) for pattern in _matching(dataset, patterns)}
    lines += [f"| `{pattern}` | `{patterns[pattern]}` |" for pattern in sorted(mine)]
    lines += ["", "## Parameters", ""]
    for environment, meaning in ENVIRONMENTS.items():
        path = ROOT / f"conf/{environment}/parameters_{name}.yml"
        if path.is_file():
            lines += [f"`{path.relative_to(ROOT)}` ({meaning}):", "", "```yaml", path.read_text().rstrip(), "```", ""]
    return "\n".join(lines) + "\n"


def tables_page() -> str:
    """Every table that the pipelines pass on or write: its files, and what its columns hold."""
    from blood_kedro.library.core import schemas

    files: dict[str, list[str]] = {}
    for name, entry in _entries().items():
        if "validator" not in entry:
            continue
        schema = str(entry["validator"]).rpartition(".")[2]
        files.setdefault(schema, []).append(f"- `{name}`: `{_filepath(entry)}`")
    sets = [f"- `{n}`: `{_filepath(e)}/cells.parquet`" for n, e in _entries().items() if "CropSetDataset" in e["type"]]
    files["CropTable"] = sets
    lines = [
        "# Tables",
        "",
        "Made from `conf/base/catalog_*.yml` and `library/core/schemas/`. Kedro checks each table when it is saved and "
        "when it is loaded; columns that are not named here are refused. Names between slashes are patterns of names.",
        "",
    ]
    for schema in sorted(files):
        table_schema = getattr(schemas, schema).to_schema()
        lines += [f"## {schema}", "", table_schema.description or "", "", *sorted(files[schema]), ""]
        lines += ["| column | type | unit | may be empty | meaning |", "|---|---|---|---|---|"]
        lines += [_column_row(name, column) for name, column in table_schema.columns.items()] + [""]
    return "\n".join(lines)


def _column_row(name: str, column: Any) -> str:  # noqa: ANN401 - pandera's column
    kind = next((word for start, word in _TYPES if str(column.dtype).lower().startswith(start)), "any")
    unit = next((unit for end, unit in _UNITS if name.endswith(end)), "")
    shown = f"`/{name}/`" if column.regex else f"`{name}`"
    empty = "yes" if column.nullable else ""
    optional = "" if column.required else " (not in every table)"
    cells = (shown, kind, unit, empty, f"{column.description}{optional}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table_of_sets() -> str:
    """Every public set: home, licence, size, labels."""
    rows = ["| set | images | download | licence | labels | card |", "|---|---|---|---|---|---|"]
    for name, each in _published().items():
        size = "size not stated" if each.size_mb is None else f"{each.size_mb:g} MB"
        images = "–" if each.images is None else f"{each.images:,}"
        rows.append(
            f"| [`{name}`]({each.home}) | {images} | {size} | {each.licence} | {each.labels} "
            f"| [card](cards/{name}.md) |"
        )
    return "\n".join(rows)


def card(name: str) -> str:
    """What a set is, what is wrong with it, how it is fetched and how a copy is checked."""
    each = _published()[name]
    lines = [
        f"# Data card: {name}", "", f"{each.title}.", "", f"- Home: <{each.home}>", f"- Licence: {each.licence}",
        f"- Cite: {each.citation}", f"- Labels: {each.labels}", f"- Known faults: {each.known_faults}",
    ]  # fmt: skip
    addresses = [f"<{url}>" for archive in each.archives for url in archive.urls]
    addresses += [f"record [{each.doi}](https://doi.org/{each.doi})"] if each.doi else []
    lines += ["", "## How it is fetched", ""]
    if each.by_hand:
        lines.append(f"By hand: {each.by_hand}.")
    elif each.account:
        lines.append(f"With an account of {each.account.title()}, from {', '.join(addresses)}.")
    else:
        lines.append(f"`make data`, from {', '.join(addresses)}.")
    if each.mirror_doi:
        lines.append(f"A copy to be fetched by hand: record [{each.mirror_doi}](https://doi.org/{each.mirror_doi}).")
    if not each.tried:
        lines += ["", "These addresses could not be reached from where this was written: none of them has been tried."]
    if each.checks:
        lines += ["", "## A complete copy", "", "| files | number | digest of their list |", "|---|---|---|"]
        for check in each.checks:
            number = "at least one" if check.count is None else f"{check.count:,}"
            digest = f"`{check.sha256[:16]}…`" if check.sha256 else "–"
            lines.append(f"| `{check.files}` | {number} | {digest} |")
    return "\n".join(lines) + "\n"


def registries_page() -> str:
    """Every registry: what each name stands for, and the options that it alone has or needs."""
    from blood_kedro.assembly.registries import REGISTRIES

    lines = ["# Registries", "", "What a name in the parameters may be. To add one: [extending](extending.md).", ""]
    for parameter, registry in REGISTRIES.items():
        lines += [f"## `{parameter}`", "", "| name | what it is | its options |", "|---|---|---|"]
        for name, choice in registry.items():
            summary = (inspect.getdoc(choice) or "").split("\n\n")[0].replace("\n", " ")
            lines.append(f"| `{name}` | {summary} | {_own_options(choice)} |")
        lines.append("")
    return "\n".join(lines)


def _own_options(choice: Any) -> str:  # noqa: ANN401 - a class, or an instance of any
    """Options that no other choice has, or that others may leave out: those that its options class itself names."""
    options = getattr(choice, "Options", None)
    if options is None:  # a network: what it is made with
        values = vars(choice) if not isinstance(choice, type) else {}
        shown = {name: value for name, value in values.items() if name != "__doc__" and not callable(value)}
        return ", ".join(f"{name}: `{value}`" for name, value in shown.items()) or "–"
    base: Any = choice.__mro__[1] if isinstance(choice, type) else type(choice)
    shared = base.Options
    if options is shared:
        return "–"
    return f"`{'`, `'.join(options.__annotations__)}`: {inspect.getdoc(options)}"


def api_pages() -> dict[str, str]:
    """A page for each topic of the library, with its public functions and classes."""
    by_path = {}
    for topic in TOPICS:
        lines = ["---", "search: {boost: 0.3}", "---", "", f"# {topic}", ""]  # pages for readers are found first
        folder = ROOT / "src/blood_kedro/library" / topic
        for module in sorted(folder.rglob("*.py")):
            if module.stem != "__init__":
                name = ".".join(module.relative_to(folder).with_suffix("").parts)
                lines += [f"## {name}", "", f"::: blood_kedro.library.{topic}.{name}", ""]
        by_path[f"api/{topic}.md"] = "\n".join(lines) + "\n"
    return by_path


def _published() -> Any:  # noqa: ANN401 - pydantic models by name
    from blood_kedro.library.download.published import published

    return published()


def _entries() -> dict[str, Any]:
    entries = config_loader(ROOT, "base")["catalog"].items()
    return {name: entry for name, entry in entries if not name.startswith("_")}


def _catalog() -> dict[str, str]:
    return {name: _filepath(entry) for name, entry in _entries().items()}


def _filepath(entry: dict[str, Any]) -> str:
    return str(entry.get("filepath", "")).replace(str(ROOT) + "/", "")


def _matching(dataset: str, patterns: dict[str, str]) -> list[str]:
    matches = [p for p in patterns if re.fullmatch(re.sub(r"\\{\w+\\}", r"[^.]+", re.escape(p)), dataset)]
    return [p for p in matches if "{" not in p] or matches[:1]


def _inner(pipeline: Pipeline) -> set[str]:
    return {d for node in pipeline.nodes for d in node.outputs}


def _one_of_each(pipeline: Pipeline) -> list[Any]:
    """A node of each function, the first namespace standing for all."""
    node_of: dict[Any, Any] = {}
    for node in pipeline.nodes:
        node_of.setdefault(node.func, node)
    return list(node_of.values())


def _first_line(path: Path) -> str:
    return path.read_text().split('"""')[1].strip().splitlines()[0]
