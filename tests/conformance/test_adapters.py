"""The adapters pass the conformance suites; Python's modules, pyarrow and openpyxl write and read for them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from zoopipe import (
    ArrowInputAdapter,
    ArrowOutputAdapter,
    CSVInputAdapter,
    CSVOutputAdapter,
    DuckDBInputAdapter,
    ExcelInputAdapter,
    ExcelOutputAdapter,
    JSONInputAdapter,
    JSONOutputAdapter,
    ParquetInputAdapter,
    ParquetOutputAdapter,
    SQLInputAdapter,
)
from zoopipe.testing import InputConformance, OutputConformance


class TestCSVInput(InputConformance):
    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["id", "name"])
            writer.writeheader()
            writer.writerows(rows)

    def adapter(self, path: Path) -> CSVInputAdapter:
        return CSVInputAdapter(path)


class TestCompressedCSVInput(TestCSVInput):
    can_be_cut = False

    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        super().write(path, rows)
        path.write_bytes(gzip.compress(path.read_bytes()))

    def adapter(self, path: Path) -> CSVInputAdapter:
        return CSVInputAdapter(path, compression="gzip")


class TestJSONLinesInput(InputConformance):
    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def adapter(self, path: Path) -> JSONInputAdapter:
        return JSONInputAdapter(path)


class TestJSONArrayInput(InputConformance):
    can_be_cut = False

    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        path.write_text(json.dumps(rows))

    def adapter(self, path: Path) -> JSONInputAdapter:
        return JSONInputAdapter(path)


class TestDuckDBInput(InputConformance):
    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE t (id VARCHAR, name VARCHAR)")
            for row in rows:
                connection.execute("INSERT INTO t VALUES (?, ?)", [row["id"], row["name"]])

    def adapter(self, path: Path) -> DuckDBInputAdapter:
        return DuckDBInputAdapter(path, table_name="t")


class TestSQLiteInput(InputConformance):
    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE t (id TEXT, name TEXT, at INTEGER)")
            values = [(row["id"], row["name"], int(row["id"])) for row in rows]
            connection.executemany("INSERT INTO t VALUES (?, ?, ?)", values)
            connection.commit()

    def adapter(self, path: Path) -> SQLInputAdapter:
        query = 'SELECT id, name FROM t ORDER BY "at"'
        return SQLInputAdapter(f"sqlite:///{path}", query=query)

    can_be_cut = False


class TestCSVOutput(OutputConformance):
    def adapter(self, path: Path) -> CSVOutputAdapter:
        return CSVOutputAdapter(path)

    def read(self, path: Path) -> list[dict[str, str]]:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


class TestJSONLinesOutput(OutputConformance):
    def adapter(self, path: Path) -> JSONOutputAdapter:
        return JSONOutputAdapter(path, format="jsonl")

    def read(self, path: Path) -> list[dict[str, str]]:
        return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


class TestJSONArrayOutput(OutputConformance):
    def adapter(self, path: Path) -> JSONOutputAdapter:
        return JSONOutputAdapter(path, format="array")

    def read(self, path: Path) -> list[dict[str, str]]:
        return list(json.loads(path.read_bytes()))


TEXTS = pa.schema([("id", pa.string()), ("name", pa.string())])


class TestParquetInput(InputConformance):
    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        pq.write_table(pa.Table.from_pylist(rows, TEXTS), path, row_group_size=7)

    def adapter(self, path: Path) -> ParquetInputAdapter:
        return ParquetInputAdapter(path)


class TestParquetOutput(OutputConformance):
    # Row groups end with their shards.
    same_bytes = False

    def adapter(self, path: Path) -> ParquetOutputAdapter:
        return ParquetOutputAdapter(path, row_group_rows=30)

    def read(self, path: Path) -> list[dict[str, str]]:
        return list(pq.read_table(path).to_pylist())


class TestArrowFileInput(InputConformance):
    new = staticmethod(pa.ipc.new_file)
    compression: str | None = None

    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        options = pa.ipc.IpcWriteOptions(compression=self.compression)
        with self.new(str(path), TEXTS, options=options) as writer:
            writer.write_table(pa.Table.from_pylist(rows, TEXTS), max_chunksize=7)

    def adapter(self, path: Path) -> ArrowInputAdapter:
        return ArrowInputAdapter(path)


class TestCompressedArrowFileInput(TestArrowFileInput):
    compression = "zstd"


class TestArrowStreamInput(TestArrowFileInput):
    new = staticmethod(pa.ipc.new_stream)


class TestArrowFileOutput(OutputConformance):
    def adapter(self, path: Path) -> ArrowOutputAdapter:
        return ArrowOutputAdapter(path)

    def read(self, path: Path) -> list[dict[str, str]]:
        return list(pa.ipc.open_file(path.read_bytes()).read_all().to_pylist())


class TestCompressedArrowFileOutput(TestArrowFileOutput):
    def adapter(self, path: Path) -> ArrowOutputAdapter:
        return ArrowOutputAdapter(path, compression="lz4")


class TestArrowStreamOutput(OutputConformance):
    def adapter(self, path: Path) -> ArrowOutputAdapter:
        return ArrowOutputAdapter(path, format="stream")

    def read(self, path: Path) -> list[dict[str, str]]:
        return list(pa.ipc.open_stream(path.read_bytes()).read_all().to_pylist())


class TestExcelInput(InputConformance):
    can_be_cut = False

    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        book = openpyxl.Workbook()
        for row in (("id", "name"), *(tuple(row.values()) for row in rows)):
            book.active.append(row)
        book.save(path)

    def adapter(self, path: Path) -> ExcelInputAdapter:
        return ExcelInputAdapter(path)

    def expected(self, rows: list[dict[str, str]]) -> list[dict[str, str | None]]:
        # An empty text is a blank cell.
        return [{name: text or None for name, text in row.items()} for row in rows]


class TestExcelOutput(OutputConformance):
    def adapter(self, path: Path) -> ExcelOutputAdapter:
        return ExcelOutputAdapter(path)

    def read(self, path: Path) -> list[dict[str, str]]:
        header, *rows = openpyxl.load_workbook(io.BytesIO(path.read_bytes())).active.iter_rows(
            values_only=True
        )
        return [dict(zip(header, [cell or "" for cell in row], strict=True)) for row in rows]
