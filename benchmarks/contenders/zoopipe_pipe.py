"""ZooPipe: one pipe, run in this process in one thread."""

from pathlib import Path

from contenders.functions import enrich
from contenders.models import CheckedPerson, Order, Person
from pydantic import BaseModel

from zoopipe import CSVInputAdapter, FunctionHook, JSONInputAdapter, JSONOutputAdapter, Pipe

LIBRARIES = ("zoopipe", "pydantic", "pyarrow")


def copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines without a model: each value is the text it was."""
    Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
    ).run()


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with reasons."""
    _validate(CSVInputAdapter(source), output, errors, Person)


def one_field_validator(source: Path, output: Path, errors: Path) -> None:
    """The same, with a validator in Python on one field."""
    _validate(CSVInputAdapter(source), output, errors, CheckedPerson)


def rich_model(source: Path, output: Path, errors: Path) -> None:
    """The same, with twenty fields."""
    _validate(CSVInputAdapter(source), output, errors, Order)


def json_lines(source: Path, output: Path, errors: Path) -> None:
    """JSON Lines to JSON Lines, rejected rows with reasons."""
    _validate(JSONInputAdapter(source), output, errors, Person)


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """A plain function for each row, without a model."""
    _call(enrich, source, output, errors)


def heavy_hook_on_columns(source: Path, output: Path, errors: Path) -> None:
    """The same function, given just the columns that it works on."""
    _call(FunctionHook(enrich, columns=["name", "email", "score"]), source, output, errors)


def _validate(
    adapter: CSVInputAdapter | JSONInputAdapter, output: Path, errors: Path, model: type[BaseModel]
) -> None:
    Pipe(
        input_adapter=adapter,
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=model,
    ).run()


def _call(hook: object, source: Path, output: Path, errors: Path) -> None:
    Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        post_validation_hooks=[hook],
    ).run()
