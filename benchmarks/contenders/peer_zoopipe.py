"""PyPI's zoopipe 2026.2.2, an older package of the same import name: pipes, as its README runs them."""

from pathlib import Path

from contenders.functions import enrich
from contenders.models import CheckedPerson, Order, Person

from zoopipe import BaseHook, CSVInputAdapter, JSONInputAdapter, JSONOutputAdapter, Pipe

LIBRARIES = ("zoopipe", "pydantic")


class Enrich(BaseHook):
    """The function, on the rows of a pipe without a model."""

    def execute(self, entries: list[dict], store: dict) -> list[dict]:
        for entry in entries:
            entry["raw_data"] = enrich(entry["raw_data"])
        return entries


def copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines without a model."""
    _run(CSVInputAdapter(source), output, errors)


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows apart."""
    _run(CSVInputAdapter(source), output, errors, schema_model=Person)


def one_field_validator(source: Path, output: Path, errors: Path) -> None:
    """The same, with a validator in Python on one field."""
    _run(CSVInputAdapter(source), output, errors, schema_model=CheckedPerson)


def rich_model(source: Path, output: Path, errors: Path) -> None:
    """The same, with twenty fields; it would leave out the columns of fields with an alias."""
    _run(CSVInputAdapter(source), output, errors, schema_model=Order, use_column_pruning=False)


def json_lines(source: Path, output: Path, errors: Path) -> None:
    """JSON Lines to JSON Lines, rejected rows apart."""
    _run(JSONInputAdapter(source), output, errors, schema_model=Person)


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """A hook that calls a function for each row."""
    _run(CSVInputAdapter(source), output, errors, post_validation_hooks=[Enrich()])


def _run(
    adapter: CSVInputAdapter | JSONInputAdapter, output: Path, errors: Path, **options: object
) -> None:
    pipe = Pipe(
        input_adapter=adapter,
        output_adapter=JSONOutputAdapter(output, format="jsonl"),
        error_output_adapter=JSONOutputAdapter(errors, format="jsonl"),
        **options,
    )
    pipe.start()
    pipe.wait()
