"""The command line: `zoopipe run`, `convert`, `clean`, `doctor`, `explain` and `demo`.

All that a run shows goes to stderr. Exit codes:

| code | means |
|---|---|
| 0 | every pipe was run and published; rows may have been rejected |
| 1 | a pipe failed, nothing of it was published |
| 2 | the call, the declaration, an input or an output is wrong; nothing was started |
| 130, 143 | stopped by Ctrl-C, by SIGTERM; nothing more was published; with `--resume` what is done stays |
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

import click
import cloudpickle

from zoopipe import __version__
from zoopipe.errors import DeclarationError, RunFailed, ZooPipeError

if TYPE_CHECKING:
    from zoopipe.manager import PipeManager

_FAILED, _WRONG, _INTERRUPTED, _TERMINATED = 1, 2, 130, 143


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoopipe")
def main() -> None:
    """Rows from a source to a sink, checked with pydantic at the speed of columns."""


def _exits(command: Callable[..., None]) -> Callable[..., None]:
    """Turns how a command ends into a sentence and an exit code."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
        )
        signal.signal(signal.SIGTERM, _terminate)
        try:
            command(*args, **kwargs)
        except RunFailed as error:
            _leave(f"failed: {error}", _FAILED)
        except ZooPipeError as error:
            _leave(f"error: {error}", _WRONG)
        except KeyboardInterrupt:
            _leave("stopped: nothing was published", _INTERRUPTED)

    return wrapped


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(_TERMINATED)


def _leave(sentence: str, code: int) -> None:
    click.echo(sentence, err=True)
    sys.exit(code)


_ENGINE_OPTIONS = (
    click.option("--engine", default="multiprocess", show_default=True, help="Where workers run."),
    click.option("--address", help="The cluster to join; by default one is started here."),
)


def _engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where workers run."""
    for option in reversed(_ENGINE_OPTIONS):
        command = option(command)
    return command


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every command that runs pipes has."""
    options = (
        click.option("--workers", "-w", type=click.IntRange(1), help="Shards that run at once."),
        click.option(
            "--shards",
            type=click.IntRange(1),
            help="Shards to cut the input into; by default as many as workers.",
        ),
        *_ENGINE_OPTIONS,
        click.option(
            "--merge/--no-merge", default=True, help="Publish one file, or one for each shard."
        ),
        click.option(
            "--resume",
            is_flag=True,
            help="Go on where a run that was cut off had come to, and keep what is done if this one is.",
        ),
        click.option(
            "--ledger",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write what was read, byte by byte, and what became of it to this file, as JSON.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("target", metavar="MODULE:PIPE")
@_run_options
@_exits
def run(target: str, **options: Any) -> None:
    """Run a pipe, or a list of pipes.

    MODULE is a module name or the path of a Python file; PIPE is the name in it of a Pipe, of a list
    of them, or of a function without arguments that gives one.
    """
    _run_pipes(load_pipes(target), **options)


def _run_pipes(
    pipes: Sequence[Any],
    workers: int | None,
    shards: int | None,
    engine: str,
    address: str | None,
    merge: bool,
    resume: bool,
    ledger: Path | None,
) -> None:
    from zoopipe.manager import PipeManager
    from zoopipe.runtime.registry import make_engine

    made = make_engine(engine, address)
    if len(pipes) == 1:
        manager = PipeManager.parallelize_pipe(
            pipes[0], workers or 1, merge, engine=made, shards=shards, resume=resume
        )
    elif workers is None and shards is None and merge:
        manager = PipeManager(pipes, made, resume=resume)
    else:
        raise DeclarationError(
            "--workers, --shards and --no-merge are for one pipe, and this is a list"
        )
    try:
        click.echo(str(manager.run()), err=True)
    finally:
        if ledger is not None:
            _write_ledger(manager, ledger)


def _write_ledger(manager: PipeManager, path: Path) -> None:
    """Writes the books, also those of a run that failed; a run that has not begun has none."""
    from zoopipe.storage.parts import writing

    try:
        text = manager.report.ledger.to_json()
    except RuntimeError:
        return
    with writing(path):
        path.write_text(text)


@main.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--model", metavar="MODULE:MODEL", help="Check each row with this pydantic model.")
@click.option("--rejected", help="Where rejected rows go; by default a file beside OUT.")
@click.option("--from", "source_format", help="The format of IN, where its name does not say it.")
@click.option("--to", "target_format", help="The format of OUT, likewise.")
@click.option(
    "--in-option", "source_options", multiple=True, metavar="NAME=VALUE", help="Of IN's adapter."
)
@click.option(
    "--out-option", "target_options", multiple=True, metavar="NAME=VALUE", help="Of OUT's adapter."
)
@click.option(
    "--max-errors", help="More rejected rows than this, or this share (0.1%), are too many."
)
@_run_options
@_exits
def convert(
    source: str,
    target: str,
    model: str | None,
    rejected: str | None,
    source_format: str | None,
    target_format: str | None,
    source_options: Sequence[str],
    target_options: Sequence[str],
    max_errors: str | None,
    **options: Any,
) -> None:
    """Convert a file, a URL or a table to another, in the formats that their names say.

    A table is named behind a #: analytics.duckdb#users, postgresql://host/shop#users. The VALUE of an option
    is JSON, or else text.
    """
    from zoopipe.convert import convert_pipe

    pipe = convert_pipe(
        source,
        target,
        None if model is None else _model(model),
        rejected,
        source_format,
        target_format,
        _named_options(source_options),
        _named_options(target_options),
        int(max_errors) if max_errors is not None and max_errors.isdecimal() else max_errors,
    )
    _run_pipes([pipe], **options)


def _named_options(given: Sequence[str]) -> dict[str, Any]:
    """Options of an adapter, from `name=value`."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise DeclarationError(f"{text!r} is not of the form name=value")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@main.command()
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@_exits
def clean(paths: Sequence[Path]) -> None:
    """Remove what runs that are dead have staged, and publish what they were about to publish.

    PATH is an output, or a folder that has outputs in it. What a live run holds is left alone; the exit
    code is then 1.
    """
    from zoopipe.runtime.recovery import clean as clean_up

    cleaned = clean_up(paths)
    for each in cleaned:
        click.echo(f"{each.folder}: {each.sentence}", err=True)
    if not cleaned:
        click.echo("nothing to clean", err=True)
    if not all(each.is_gone for each in cleaned):
        sys.exit(_FAILED)


@main.command()
@click.argument("target", metavar="[MODULE:PIPE]", required=False)
@_engine_options
@_exits
def doctor(target: str | None, engine: str, address: str | None) -> None:
    """Ask every node of a cluster for its versions, and whether it can run a pipe.

    With MODULE:PIPE each node is asked whether it can unpickle the pipe, read its input and write its
    output. The exit code is 1 where a node has a problem.
    """
    from zoopipe.runtime.doctor import diagnose
    from zoopipe.runtime.registry import make_engine

    pipes = [] if target is None else load_pipes(target)
    diagnosis = diagnose(make_engine(engine, address), pipes)
    click.echo(str(diagnosis), err=True)
    if not diagnosis.is_healthy:
        sys.exit(_FAILED)


@main.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("zoopipe-demo"),
    show_default=True,
    help="Where input and outputs are put.",
)
@_run_options
@_exits
def demo(folder: Path, workers: int | None, **options: Any) -> None:
    """Run the demo job: all 336,776 flights that left New York in 2013, typed and checked.

    Cancelled flights have no departure time, so the model rejects them, with the reason.
    """
    from zoopipe.demo import demo_pipe
    from zoopipe.executors import usable_cpus

    pipe = demo_pipe(folder)
    _run_pipes([pipe], workers or usable_cpus(), **options)
    click.echo(f"flights are in {folder / 'flights.jsonl'}", err=True)
    click.echo(f"rejects are in {folder / 'rejected.jsonl'}", err=True)


@main.command()
@click.argument("target", metavar="MODULE:MODEL")
@_exits
def explain(target: str) -> None:
    """Say how each field of a model is checked: over columns, field by field, or by whole rows.

    MODEL is the name of a pydantic model, or of a Pipe that has one.
    """
    from zoopipe.validation import explain as explain_model

    click.echo(explain_model(_model(target)))


def _model(target: str) -> Any:
    """The model that `module:name` names, or that the pipe which it names has."""
    from zoopipe.pipe import Pipe

    value = _load(target)
    return value.schema_model if isinstance(value, Pipe) else value


def load_pipes(target: str) -> list[Any]:
    """The pipes that `module:name` names.

    Raises:
        DeclarationError: there is no such module or name, or it gives no pipes.
    """
    from zoopipe.pipe import Pipe

    value = _load(target)
    if callable(value) and not isinstance(value, Pipe):
        value = value()
    pipes = [value] if isinstance(value, Pipe) else value
    if not isinstance(pipes, list | tuple) or not all(isinstance(pipe, Pipe) for pipe in pipes):
        raise DeclarationError(
            f"{target} is a {type(value).__name__}, not a Pipe or a list of them"
        )
    return list(pipes)


def _load(target: str) -> Any:
    """What `module:name` names."""
    module_name, colon, name = target.rpartition(":")
    if not colon or not module_name or not name:
        raise DeclarationError(f"{target!r} is not of the form module:name")
    module = _load_module(module_name)
    if not hasattr(module, name):
        raise DeclarationError(f"{module_name} has no {name!r}")
    return getattr(module, name)


def _load_module(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _load_file(Path(name))
    # As with `python -m`, modules of the working directory are found.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise DeclarationError(f"there is no module {name!r}") from error
        raise


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DeclarationError(f"there is no file {path}")
    # Under a name of its own, so that `csv.py` is not Python's csv; workers get it by value.
    spec = importlib.util.spec_from_file_location(f"zoopipe_job_{path.stem}", path)
    assert spec is not None and spec.loader is not None, "a file that ends with .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.resolve()))
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module
