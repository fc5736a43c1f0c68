"""Dask DataFrame on a running Dask cluster: `read_csv`, pydantic in
`map_partitions`, which writes as well."""

import json
from pathlib import Path

import dask.dataframe
import pandas
from contenders import running
from contenders.models import Person
from distributed import Client
from pydantic import ValidationError

LIBRARIES = ("dask", "distributed", "pandas", "pyarrow", "pydantic")
# Several blocks a worker, so that both end together; no larger than this.
_BLOCKS = 4 * running.WORKERS
_MOST_BLOCK_BYTES = 16 << 20
_WRITTEN = pandas.DataFrame({"accepted": [0], "rejected": [0]})
_address = ""


def prepare(source: Path) -> None:
    """Starts the cluster."""
    global _address
    _address = running.start("dask")


def finish() -> None:
    """Stops the cluster."""
    running.stop()


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a file a block, rejected rows with pydantic's reasons."""
    block_bytes = min(_MOST_BLOCK_BYTES, source.stat().st_size // _BLOCKS + 1)
    with Client(_address):
        rows = dask.dataframe.read_csv(
            source, blocksize=block_bytes, dtype=str, keep_default_na=False
        )
        rows.map_partitions(_write, output, errors, meta=_WRITTEN).compute()


def _write(
    rows: pandas.DataFrame, output: Path, errors: Path, partition_info: dict | None = None
) -> pandas.DataFrame:
    """Writes the accepted and the rejected rows of a block; their numbers."""
    number = partition_info["number"]
    good, bad = [], []
    names = list(rows.columns)
    for cells in rows.itertuples(index=False, name=None):
        row = dict(zip(names, cells, strict=True))
        try:
            good.append(Person.model_validate(row).model_dump_json())
        except ValidationError as error:
            reasons = json.loads(error.json(include_url=False, include_input=False))
            bad.append(json.dumps({**row, "_errors": reasons}, ensure_ascii=False))
    for path, lines in ((output, good), (errors, bad)):
        part = path.with_name(f"{path.stem}_part_{number:05d}{path.suffix}")
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return pandas.DataFrame({"accepted": [len(good)], "rejected": [len(bad)]})
