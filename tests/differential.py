"""Column plans against pydantic: hostile cells, and a comparison of everything a plan gives."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from zoopipe.adapters.csv import CSVOutputAdapter
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.validation import Accepted, compile_plan

Row = dict[str, str | None]

#: What is hard for some kernel or other; every field type is given all of it.
HOSTILE: tuple[str, ...] = (
    *("", " ", "  ", "\t", "\n", "\x00", "\u2028", "null", "None", "nan", "NaN", "inf", "-inf"),
    *(
        "Infinity",
        "1e400",
        "-1e400",
        "1e-400",
        "0x1F",
        "0b1",
        "1_000",
        "_1",
        "1_",
        "1__0",
        "+1",
        "-1",
    ),
    *("--1", "+-1", "-", "+", ".", "-.", "e", "1e", "1e5", "1E5", "1e+5", "1e-5", "0", "-0", "+0"),
    *("00", "007", "-007", "0.0", "-0.0", "00.5", ".5", "-.5", "5.", "-5.", "5.0", "5.00", "1.50"),
    *(
        " 1",
        "1 ",
        "1\n",
        "\n1",
        "1\x00",
        "\u00a01",
        "1\u3000",
        "٣",
        "١٢",
        "１２",
        "²",
        "½",
        "1,5",
        "1 000",
    ),
    *("1" * 17, "1" * 18, "9" * 18, "9" * 19, "9" * 20, "-" + "9" * 18, "-" + "9" * 19),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *("1" * 400, "7" * 4300, "7" * 4301, "9" * 5000, "0" * 5000, "0." + "0" * 400 + "1"),
    *("0.1", "0.12345678901234567", "1234567.12345678", "12345678.123456789", "9007199254740993.0"),
    *("9007199254740993", "123456789012345678", "1.7976931348623157", "0.30000000000000004"),
    *("0.00001", "0.00001234", "0.000001", "0.0000001", "0.0001", "0.00099", "-0.00001", "1e-6"),
    *("1000000000000000.0", "10000000000000000.0", "100000000000000000", "99999999999999999.5"),
    *("123456789012345.6", "1e15", "1e16", "1e17", "1.0e22", "5e-324", "2.2250738585072014e-308"),
    *(
        "true",
        "True",
        "TRUE",
        "tRue",
        "t",
        "T",
        "yes",
        "Yes",
        "YES",
        "y",
        "Y",
        "on",
        "On",
        "oN",
        "ON",
    ),
    *(
        "false",
        "False",
        "FALSE",
        "f",
        "F",
        "no",
        "No",
        "NO",
        "nO",
        "n",
        "N",
        "off",
        "Off",
        "oFF",
        "1.0",
    ),
    *("true ", " true", "truе", "2", "enabled"),
    *(
        "2024-02-29",
        "2023-02-29",
        "2000-02-29",
        "1900-02-29",
        "2100-02-29",
        "2400-02-29",
        "0000-01-01",
    ),
    *(
        "0000-02-29",
        "0001-01-01",
        "0004-02-29",
        "9999-12-31",
        "10000-01-01",
        "-001-01-01",
        "2024-13-01",
    ),
    *("2024-00-10", "2024-04-31", "2024-12-00", "2024-1-1", "24-01-01", "20240101", "2024/01/01"),
    *(
        "2024-01-01 ",
        " 2024-01-01",
        "2024-01-01\n",
        "٢٠٢٤-٠١-٠١",
        "2024-001",
        "2024-W01-1",
        "01-02-2024",
    ),
    *("2024-01-01T00:00:00", "2024-01-01 00:00:00", "2024-01-01t00:00:00", "2024-01-01_00:00:00"),
    *("2024-01-01T00:00:00Z", "2024-01-01T00:00:00z", "2024-01-01 12:34:56Z", "2024-01-01T00:00"),
    *("2024-01-01T24:00:00", "2024-01-01T23:59:60", "2016-12-31T23:59:60Z", "2024-01-01T25:00:00"),
    *(
        "2024-01-01T12:60:00",
        "2024-01-01T12:34:56.5",
        "2024-01-01T12:34:56.123456",
        "2024-02-30T00:00:00",
    ),
    *("2024-01-01T12:34:56.1234567", "2024-01-01T12:34:56.123456789Z", "2024-01-01T12:34:56+00:00"),
    *("2024-01-01T12:34:56+02:00", "2024-01-01T12:34:56-0530", "2024-01-01T12:34:56+24:00"),
    *(
        "2024-01-01T12:34:56-00:00",
        "0001-01-01T00:00:00",
        "0000-01-01T00:00:00",
        "9999-12-31T23:59:59Z",
    ),
    *("2024-02-29T10:00:00", "2023-02-29T10:00:00", "1900-02-29 10:00:00", "2024-01-01T"),
    *(
        "2024-01-01T00:00:00 ",
        " 2024-01-01T00:00:00",
        "2024-01-01T00:00:00,5",
        "2024-01-01  00:00:00",
    ),
    *(
        "0",
        "86400",
        "1700000000",
        "1700000000000",
        "-86400",
        "1.5e9",
        "253402300800",
        "20000000000",
    ),
    *(
        "12345.5",
        "99999999999999999999",
        "2024",
        "20240229",
        "plain",
        'quo"te',
        "back\\slash",
        "a,b",
    ),
    *("two\nlines", "cr\rlf\r\n", "tab\t", "\x1f", "\x7f", "é", "日本", "😀", "\ufeff", "x" * 300),
)


def valid_cell(kind: str, chance: random.Random) -> str:
    """A cell that pydantic may well take for the type `kind`, in one of many spellings."""
    if kind == "int":
        return str(chance.choice((1, -1)) * chance.randrange(10 ** chance.randrange(1, 20)))
    if kind == "float":
        return _float_cell(chance)
    if kind == "bool":
        return chance.choice(("true", "false", "True", "FALSE", "1", "0", "yes", "n", "on", "Off"))
    if kind == "date":
        return _date_cell(chance)
    if kind == "datetime":
        return _datetime_cell(chance)
    return chance.choice(("", "abc", "Ω", 'say "hi"', "a\\b", "line\nend", "\x01", "x" * 40))


def _spoilt(kind: str, chance: random.Random) -> str:
    """A valid cell with one character put in, taken out or changed."""
    text = valid_cell(kind, chance)
    at = chance.randrange(len(text) + 1)
    put = chance.choice(("", *"0123456789.-+eE_:TZtz, \t\n\x00٣é"))
    return text[:at] + put + text[at + chance.randrange(2) :]


def _float_cell(chance: random.Random) -> str:
    style = chance.randrange(5)
    if style == 0:
        return f"{chance.uniform(-1e6, 1e6):.{chance.randrange(9)}f}"
    if style == 1:
        return repr(chance.uniform(-1, 1) * 10.0 ** chance.randrange(-8, 20))
    if style == 2:
        digits = "".join(chance.choices("0123456789", k=chance.randrange(1, 18)))
        point = chance.randrange(len(digits) + 1)
        return f"{digits[:point]}.{digits[point:]}"
    if style == 3:
        return str(chance.randrange(10**17))
    return f"0.{'0' * chance.randrange(8)}{chance.randrange(1, 10**9)}"


def _date_cell(chance: random.Random) -> str:
    year = chance.choice((1, 4, 1000, 1900, 2000, 2023, 2024, 2999, 3000, 9999))
    year = chance.choice((year, chance.randrange(0, 10000)))
    return f"{year:04}-{chance.randrange(1, 13):02}-{chance.randrange(1, 32):02}"


def _datetime_cell(chance: random.Random) -> str:
    hour, minute, second = chance.randrange(25), chance.randrange(60), chance.randrange(61)
    fraction = chance.choice(("", "", "", f".{chance.randrange(10 ** chance.randrange(1, 8))}"))
    zone = chance.choice(("", "", "Z", "Z", "z", "+00:00", "-03:30"))
    separator = chance.choice("TT  t")
    return f"{_date_cell(chance)}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}"


def random_rows(
    kinds: dict[str, str], count: int, hostile_share: float, null_share: float, seed: int
) -> list[Row]:
    """`count` rows, a cell for each column of `kinds` (column name: type of its cells).

    A row is hostile with probability `hostile_share`: half of its cells are then hostile ones, or
    valid ones with a character put wrong.
    """
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        hostile = chance.random() < hostile_share
        row: Row = {}
        for name, kind in kinds.items():
            if chance.random() < null_share:
                row[name] = None
            elif hostile and chance.random() < 0.5:
                spoilt = chance.random() < 0.5
                row[name] = _spoilt(kind, chance) if spoilt else chance.choice(HOSTILE)
            else:
                row[name] = valid_cell(kind, chance)
        rows.append(row)
    return rows


def text_batch(rows: Sequence[Row], names: Sequence[str]) -> pa.RecordBatch:
    """The rows as a reader gives them: columns of text."""
    columns = [pa.array([row[name] for row in rows], pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def cell(value: Any) -> str:
    """The CSV cell of a JSON-mode value, by the definition in DESIGN.md."""
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value, inf_nan_mode="constants").decode()


def check_plan(model: type[BaseModel], rows: Sequence[Row], names: Sequence[str]) -> Accepted:
    """Fails where a plan's answers for text rows are not those of a pydantic loop.

    Compared are the JSON lines, the CSV cells, the Python values with their types, and the errors.
    """
    kept, refused = [], []
    for position, row in enumerate(rows):
        try:
            instance = model.model_validate(row)
            line = instance.model_dump_json()
        except ValidationError as error:
            refused.append((position, _errors(error)))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            refused.append((position, [{"loc": [], "type": "validator_error", "msg": message}]))
        else:
            kept.append((position, line, instance.model_dump(mode="json"), instance.model_dump()))

    batch = text_batch(rows, names)
    accepted = compile_plan(model).columns(batch)
    assert sorted(accepted.refused, key=lambda item: item[0]) == refused
    assert _positions(accepted, len(rows)) == [item[0] for item in kept]
    assert _json_lines(accepted) == [item[1] for item in kept]

    constants = compile_plan(model, "constants").columns(batch)
    assert sorted(constants.refused, key=lambda item: item[0]) == refused
    if all(isinstance(item[2], dict) for item in kept):
        columns = list(dict.fromkeys(name for item in kept for name in item[2])) or ["none"]
        expected = [[cell(item[2].get(name)) for name in columns] for item in kept]
        assert _csv_rows(constants, columns) == expected

    as_rows = compile_plan(model).rows([dict(row) for row in rows], batch)
    assert sorted(as_rows.refused, key=lambda item: item[0]) == refused
    assert _positions(as_rows, len(rows)) == [item[0] for item in kept]
    # The repr tells 1 from True and from 1.0, and nan is like itself.
    assert list(map(repr, as_rows.values)) == [repr(item[3]) for item in kept]
    assert [_types(value) for value in as_rows.values] == [_types(item[3]) for item in kept]
    return accepted


def _errors(error: ValidationError) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"loc": list(e["loc"]), "type": e["type"], "msg": e["msg"]} for e in found]


def _positions(accepted: Accepted, rows: int) -> list[int]:
    return list(range(rows)) if accepted.kept is None else list(accepted.kept)


def _json_lines(accepted: Accepted) -> list[str]:
    encoded = JSONOutputAdapter("unused.jsonl").encoder(None)(accepted.batch)
    data = b"".join(map(bytes, encoded.payload)).decode()
    assert data == "" or data.endswith("\n")
    lines = data.split("\n")[:-1]
    assert len(lines) == encoded.rows
    return lines


def _csv_rows(accepted: Accepted, columns: list[str]) -> list[list[str]]:
    encoded = CSVOutputAdapter("unused.csv", fieldnames=columns).encoder(None)(accepted.batch)
    assert not encoded.refused
    data = b"".join(map(bytes, encoded.payload)).decode()
    return list(csv.reader(io.StringIO(data, newline="")))


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: type(item) for name, item in value.items()}
    return type(value)
