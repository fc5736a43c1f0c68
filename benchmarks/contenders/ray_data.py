"""Ray Data on a local cluster with all CPUs: `read_csv`, `map`, `write_json`."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import ray
from contenders.functions import enrich
from contenders.models import Person
from pydantic import ValidationError

LIBRARIES = ("ray", "pyarrow", "pydantic")
_CHECKED = pa.schema(
    {
        "id": pa.int64(),
        "name": pa.string(),
        "email": pa.string(),
        "age": pa.int64(),
        "score": pa.float64(),
        "active": pa.bool_(),
        "born": pa.string(),
        "_row_as_read": pa.string(),
        "_errors": pa.string(),
    }
)


def prepare(source: Path) -> None:
    """Starts the cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    folder = str(Path(__file__).parent.parent)
    ray.init(
        num_cpus=len(os.sched_getaffinity(0)),
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": folder}},
    )
    configure()


def configure() -> None:
    """Sets what every job wants of Ray Data."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # The rows in the input's order, as the others write them.
    context.execution_options.preserve_order = True


def finish() -> None:
    """Stops the cluster."""
    ray.shutdown()


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a file a block, rejected rows with pydantic's reasons."""
    checked = _rows(source).map_batches(_validate, batch_format="pyarrow").materialize()
    checked.map_batches(_accepted, batch_format="pyarrow").write_json(output)
    checked.map_batches(_rejected, batch_format="pyarrow").write_json(errors)


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a file a block, a function for each row."""
    _rows(source).map(enrich).write_json(output)


def _rows(source: Path) -> ray.data.Dataset:
    with source.open(encoding="utf-8") as file:
        names = file.readline().rstrip("\n").split(",")
    texts = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return ray.data.read_csv(str(source), convert_options=texts)


def _validate(batch: pa.Table) -> pa.Table:
    """The validated values; those of a rejected row are null, and the row stands beside them."""
    rows = []
    for row in batch.to_pylist():
        try:
            rows.append(Person.model_validate(row).model_dump(mode="json"))
        except ValidationError as error:
            reasons = error.json(include_url=False, include_input=False)
            rows.append({"_row_as_read": json.dumps(row), "_errors": reasons})
    return pa.Table.from_pylist(rows, schema=_CHECKED)


def _accepted(batch: pa.Table) -> pa.Table:
    return batch.filter(pc.is_null(batch["_errors"])).select(list(Person.model_fields))


def _rejected(batch: pa.Table) -> pa.Table:
    return batch.filter(pc.is_valid(batch["_errors"])).select(["_row_as_read", "_errors"])
