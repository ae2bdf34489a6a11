"""`blood-kedro count|read-out|detect <pictures or slide>`: options, progress, one line per picture, the page last."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blood_kedro import __version__
from blood_kedro.library.shipped.load import CLASSIFIERS

if TYPE_CHECKING:
    from blood_kedro.assembly.read_out import Progress

_PATH, _FILE = click.Path(path_type=Path), click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_USE = "use it: blood-kedro read-out <pictures>"
_RESEARCH = "For research. Not a medical device: no diagnosis may rest on these numbers."


class Plainly(click.Group):
    """Commands whose own errors, and those of disks and paths, are shown in words, without the lines of code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """As click does; a message and exit status 1 in place of a traceback for an error that says what to do."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from blood_kedro.mishaps import as_ours

            ours = as_ours(error)
            if ours is None:
                raise
            raise click.ClickException(str(ours)) from error


@click.group(cls=Plainly, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_RESEARCH)
@click.version_option(__version__, prog_name="blood-kedro")
def main() -> None:
    """Cells, counts and read-outs of blood smears, by the models that come with the project."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")


def _pictures(command: Callable[..., None]) -> Callable[..., None]:
    """What the commands have in common."""
    options = (
        click.argument(
            "pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PICTURES_OR_FOLDER..."
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            help="folder of the results; it must be new, empty, or one of an earlier run [default: ./<command>]",
        ),
        click.option(
            "--cell-px",
            type=click.FloatRange(4, 2000),
            help="width of a red cell, px of the pictures [default: measured on each]",
        ),
    )
    for add in reversed(options):
        command = add(command)
    return command


def _scaled(command: Callable[..., None]) -> Callable[..., None]:
    """What commands that count have in common."""
    options = (
        click.option(
            "--um-per-px",
            type=click.FloatRange(0, 5, min_open=True),
            help="micrometres per pixel [default: what the file says]",
        ),
        click.option("--workers", type=click.IntRange(0), default=0, help="processes for large pictures; 0: all cores"),
        click.option(
            "--models", type=click.Path(path_type=Path, file_okay=False), help="retrained classifiers to use instead"
        ),
        click.option("--cluster", help="address of a Dask scheduler that the tiles of large pictures go to"),
        click.option("--quiet", is_flag=True, help="print the path of the page alone"),
    )
    for add in reversed(options):
        command = add(command)
    return command


@main.command("count")
@_pictures
@_scaled
@click.option("--no-types", is_flag=True, help="name no types of white cells and no shapes of red ones (faster)")
def count(pictures: tuple[Path, ...], out: Path | None, no_types: bool, quiet: bool, **how: Any) -> None:  # noqa: ANN401
    """Count red cells, white cells and platelets, picture by picture."""
    _read(pictures, out or Path("count"), "count", quiet, name_types=not no_types, **how)


@main.command("read-out")
@_pictures
@_scaled
@click.option("--rbc-per-ul", type=click.FloatRange(0, min_open=True), help="red cells per microlitre, from a counter")
def read_out(pictures: tuple[Path, ...], out: Path | None, quiet: bool, **how: Any) -> None:  # noqa: ANN401
    """Counts, differential, red-cell shapes, sizes and platelets of the fields of one smear, with a verdict."""
    _read(pictures, out or Path("read_out"), "read-out", quiet, name_types=True, **how)


@main.command("detect")
@_pictures
@click.option("--score", type=click.FloatRange(0, 1), help="leave out cells that are less sure [default: the model's]")
def detect(pictures: tuple[Path, ...], out: Path | None, cell_px: float | None, score: float | None) -> None:
    """Find cells and name them: boxes, types of white cells, shapes of red ones."""
    from blood_kedro.assembly.own_pictures import detect_into
    from blood_kedro.commands.outputs import checked_folder, work_beside
    from blood_kedro.library.reporting.words import in_words

    folder = checked_folder(out or Path("detect"))
    with work_beside(folder) as work:
        detected, rejected, page = detect_into(folder, list(pictures), work, cell_px=cell_px, score=score)
    for row in detected.counts.to_dict("records"):
        click.echo(f"{row['image']}: {in_words(row)}; red cells {row['cell_px']:.0f} px wide")
    _say_rejects(rejected.to_dict("records"))
    click.echo(page)


@main.command("correct")
@click.argument("file", type=_FILE)
@click.option("--read-out", "folder", required=True, type=_FOLDER, help="folder of the read-out whose page saved it")
@click.option(
    "--pictures", required=True, type=_PATH, help="folder of the pictures that were read out, or the only one"
)
@click.option("--into", default=Path("corrections"), type=_FOLDER, help="where corrections are kept [./corrections]")
@click.option("--by", default="nobody named", help="who corrected")
def correct(file: Path, folder: Path, pictures: Path, into: Path, by: str) -> None:
    """Keep the corrections of a page of a read-out (corrections.json), with its pictures."""
    from blood_kedro.assembly.own_corrections import keep_page

    click.echo(keep_page(file, folder, pictures, into, by))


@main.command("retrain")
@click.argument("corrections", type=_FOLDER)
@click.option("--model", type=click.Choice(CLASSIFIERS), default=CLASSIFIERS[0], show_default=True)
@click.option("--out", default=Path("retrained"), type=_FOLDER, help="folder of models that takes it [./retrained]")
@click.option("--raw", type=_FOLDER, help="folder of the public sets, to see what is forgotten")
def retrain(corrections: Path, model: Any, out: Path, raw: Path | None) -> None:  # noqa: ANN401 - click's choice
    """Let a classifier learn from corrections, and compare it with the one before on cells that it did not see."""
    from blood_kedro.library.corrections.retrain import retrain as learn

    command = f"blood-kedro retrain {corrections} --model={model} --out={out}"
    click.echo(learn(corrections, model, out, raw_root=raw, command=command).text())
    click.echo(f"{_USE} --models={out}")


@main.command("app")
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
def app(port: int) -> None:
    """Serve the page that smears are dropped into, on this machine alone."""
    from blood_kedro.page import serve

    serve(Path.cwd(), port)


def _read(pictures: Sequence[Path], out: Path, command: str, quiet: bool, **how: Any) -> None:  # noqa: ANN401
    from blood_kedro.commands.outputs import checked_folder, work_beside

    folder, begin = checked_folder(out), time.perf_counter()
    from blood_kedro.assembly.read_out import ReadOutOptions, read_pictures

    options = ReadOutOptions(**{name: value for name, value in how.items() if value is not None})
    with work_beside(folder) as work, _bars(quiet) as progress:
        read = read_pictures(list(pictures), options, work, progress)
        page = read.write(folder, whole=command == "read-out")
    if not quiet:
        for line in read.lines():
            click.echo(line)
        click.echo(f"{time.perf_counter() - begin:.1f} s. {_RESEARCH}")
    _say_rejects(read.rejects.to_dict("records"))
    click.echo(page)


def _say_rejects(rows: Sequence[dict[Any, Any]]) -> None:
    """What was not used, and why, where errors go."""
    for row in rows:
        click.echo(f"{Path(str(row['path'])).name}: {row['reason']}", err=True)


@contextmanager
def _bars(quiet: bool) -> Iterator[Progress | None]:
    """A bar of pictures and one of the tiles of the picture at work, in a terminal; else a line for each picture."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    pictures = tqdm(unit="picture", position=0, leave=False)
    tiles = tqdm(unit="tile", position=1, leave=False)

    def progress(name: str, picture: tuple[int, int], tile: tuple[int, int]) -> None:
        for bar, (done, all_of_them) in ((pictures, picture), (tiles, tile)):
            bar.total = all_of_them
            bar.n = done
            bar.set_description(name, refresh=False)
            bar.refresh()

    try:
        yield progress
    finally:
        tiles.close()
        pictures.close()
