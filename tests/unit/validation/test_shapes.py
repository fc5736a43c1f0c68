"""Records of a shape are read as `json.loads` reads them; all others are left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoopipe.arrays import text_array
from zoopipe.validation import shape_quotes, shape_text
from zoopipe.validation.shapes import NoShape, Shaped, Shapes, Wanted

QUICK = settings(max_examples=700, deadline=None, derandomize=True)

INNER = pa.struct(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("s", pa.string()),
        pa.field("deep", pa.struct([pa.field("b", pa.bool_(), nullable=False)])),
    ]
)
WANTED = {
    "id": Wanted(pa.int64(), nullable=False),
    "n": Wanted(pa.int64(), nullable=True),
    "f": Wanted(pa.float64(), nullable=False),
    "g": Wanted(pa.float64(), nullable=True),
    "s": Wanted(pa.string(), nullable=False),
    "é": Wanted(pa.string(), nullable=True),
    "b": Wanted(pa.bool_(), nullable=False),
    "c": Wanted(pa.bool_(), nullable=True),
    "o": Wanted(INNER, nullable=True),
    "ints": Wanted(pa.list_(pa.int64()), nullable=False),
    "tags": Wanted(pa.list_(pa.string()), nullable=True),
}


def is_same(value: Any, expected: Any, kind: pa.DataType) -> bool:
    """Whether a typed value is just the one that `json.loads` gives."""
    if expected is None:
        return value is None
    if pa.types.is_floating(kind):
        # A float field is given integers too, and makes floats of them.
        return type(expected) in (int, float) and repr(value) == repr(float(expected))
    if pa.types.is_list(kind):
        return (
            type(expected) is list
            and len(value) == len(expected)
            and all(map(is_same, value, expected, [kind.value_type] * len(value)))
        )
    if pa.types.is_struct(kind):
        return type(expected) is dict and are_same(value, expected, kind)
    return type(value) is type(expected) and repr(value) == repr(expected)


def are_same(row: Mapping[str, Any], expected: Mapping[str, Any], fields: Any) -> bool:
    """Whether a row has the wanted keys that `json.loads` gives, with their values."""
    return all(is_same(row[field.name], expected[field.name], field.type) for field in fields)


def claims(found: list[Shaped], deferred: pa.Array, length: int) -> list[tuple[int, Any, Any]]:
    """The rows that were read (position, values, schema), having checked that none is lost."""
    rows = []
    for shaped in found:
        shaped.batch.validate(full=True)
        places = range(length) if shaped.rows is None else shaped.rows.to_pylist()
        assert list(places) == sorted(places)
        rows += [
            (place, row, shaped.batch.schema)
            for place, row in zip(places, shaped.batch.to_pylist(), strict=True)
        ]
    assert sorted([place for place, _, _ in rows] + deferred.to_pylist()) == list(range(length))
    return rows


def check(texts: list[str], wanted: Mapping[str, Wanted], ignore_extra: bool = True) -> int:
    """Compares all that is read with `json.loads`; gives how many records that are."""
    rows = claims(*Shapes(wanted, ignore_extra=ignore_extra).split(text_array(texts)), len(texts))
    for place, row, schema in rows:
        expected = json.loads(texts[place])
        assert are_same(row, expected, schema), (texts[place], row)
        assert schema.names == [key for key in expected if key in wanted], texts[place]
        assert ignore_extra or expected.keys() <= wanted.keys(), texts[place]
        nulls = [key for key in row if row[key] is None]
        assert all(wanted[key].nullable for key in nulls), texts[place]
    return len(rows)


# Random records

NUMBERS = st.sampled_from(
    [
        *("0", "-0", "1", "-1", "-7", "12", "00", "01", "-01", "+1", "1.", ".5", "0x10", "1_000"),
        *(
            "0.0",
            "-0.0",
            "1.0",
            "-1.5",
            "1e5",
            "1E5",
            "1e+05",
            "1e-400",
            "1e400",
            "-1e400",
            "0e999",
        ),
        *("999999999999999999", "9999999999999999999", "9007199254740993", "18446744073709551616"),
        *("123456789012345678", "0.30000000000000004", "5e-324", "1.7976931348623157e308"),
        *("0.1" * 1, "0." + "1" * 40, "1" * 30, "1" * 4400, "99999999999999999e289", "1e289"),
        *("NaN", "Infinity", "-Infinity", "nan", "inf", "null", "true", "false", "True", "None"),
        *("0.1e-288", "2.2250738585072014e-308", "1e-289", "100000000000000000", "8.5e16"),
    ]
)
HOSTILE = [
    *(
        '"',
        "\\",
        "\\\\",
        '\\"',
        "\\n",
        "\\/",
        "\\b\\f\\r\\t",
        "\\u0000",
        "\\u00e9",
        "\\uD83D\\uDE00",
    ),
    *(
        "\\ud800",
        "\\udfff",
        "\\ude00\\ud83d",
        "\\x",
        "\\u12",
        "\\uFFFF",
        "\\u2028",
        "\u2028",
        "\u0085",
    ),
    *(
        "\t",
        "\r",
        "\n",
        "\0",
        "\x01",
        "\x1f",
        "\x7f",
        "é",
        "\U0001f600",
        "\ufeff",
        " ",
        ",",
        ":",
        "null",
    ),
    *("{", "}", "[", "]", '":"', '","', ':null,"', '"s":null', '"s": null', "true", "a", "0"),
    *('"é":null', '"é":', '"', "é", ":null", ",", '","é":null,"', "\ufffe", "\uffff"),
]
STRINGS = st.lists(st.sampled_from(HOSTILE), max_size=4).map(lambda parts: f'"{"".join(parts)}"')
TIDY = st.text(st.characters(codec="utf-8"), max_size=4).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)
SPACES = st.sampled_from(["", "", "", " ", "  ", "\t", "\r", "\n"])
KEYS = [*WANTED, "x", "s", "", "null", "a\\u0062", "\\ud800", "k\tk", 'q\\"', "\ufeff", "$^.*"]


def objects(values: Any, keys: list[str]) -> Any:
    pairs = st.lists(st.tuples(st.sampled_from(keys), values, SPACES, SPACES, SPACES), max_size=4)
    return pairs.map(
        lambda found: (
            "{"
            + ",".join(f'{a}"{key}"{b}:{c}{value}' for key, value, a, b, c in found)
            + ("}" if found else " }")
        )
    )


SCALARS = NUMBERS | STRINGS | TIDY
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | objects(inner, ["id", "s", "deep", "b", "x"])
    ),
    max_leaves=4,
)
RECORDS = objects(VALUES, KEYS) | VALUES | st.just("\ufeff{}") | st.just("")


@QUICK
@given(st.lists(RECORDS, max_size=6), st.booleans())
def test_rows_are_those_of_json_when_records_are_random(texts: list[str], extra: bool) -> None:
    check(texts, WANTED, extra)


# Records that are mostly of a shape

FITTING = {
    "id": st.sampled_from(["0", "-1", "12", "999999999999999999"]),
    "n": st.sampled_from(["0", "5", "null"]),
    "f": st.sampled_from(["0", "1.5", "-0.0", "1e5", "123456789012345.67"]),
    "g": st.sampled_from(["0", "1.5", "null"]),
    "s": STRINGS
    | TIDY
    | TIDY.map(lambda text: json.dumps(json.loads(text)))
    | st.sampled_from(['"a"', '"null"', '""', '":null"', '"\u2028"']),
    "é": STRINGS | TIDY | st.sampled_from(["null", '""', '"null"', '"a:null"']),
    "b": st.sampled_from(["true", "false"]),
    "c": st.sampled_from(["true", "false", "null"]),
    "o": st.sampled_from(
        [
            "null",
            '{"id":1,"s":null,"deep":{"b":true}}',
            '{"id":2,"s":"x","deep":null}',
            '{"id":2,"s":"x","y":"z"}',
            '{"y":1}',
            "{}",
        ]
    ),
    "ints": st.sampled_from(["[]", "[1]", "[1,-2,3]", "[1, 2]"]),
    "tags": st.sampled_from(["[]", '["a"]', '["","é","\\n"]', "null"]),
    "x": st.sampled_from(['"x"', "1", "null", "1.5e9", "true"]),
}


@st.composite
def files(draw: Callable[..., Any]) -> list[str]:
    keys = draw(st.lists(st.sampled_from(list(FITTING)), min_size=1, max_size=6, unique=True))
    colon, comma = draw(st.sampled_from([(":", ","), (": ", ", "), (": ", ","), (":", ", ")]))

    def record() -> str:
        values = {key: draw(FITTING[key]) for key in keys}
        for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
            values[draw(st.sampled_from(keys))] = draw(VALUES)
        parts = [f'"{key}"{colon}{value}' for key, value in values.items()]
        if draw(st.sampled_from([False] * 7 + [True])):
            parts.pop(draw(st.integers(0, len(parts) - 1)))
        if draw(st.sampled_from([False] * 7 + [True])):
            parts.append(draw(st.sampled_from(['"x":1', '"s":"twice"', "", '"é":null'])))
        return "{" + comma.join(parts) + "}"

    texts = [record() for _ in range(draw(st.integers(1, 8)))]
    return texts + draw(st.lists(st.just("\ufeff" + texts[0]) | RECORDS, max_size=1))


@QUICK
@given(files())
@example(['{"s":"a","é":null}', '{"s":"é":null,"é":"b"}', '{"s":"x"é":null","é":"b"}'])
@example(['{"é":"a","s":"b"}', '{"é":null,"s":"b"}', '{"é":"\\u0000","s":"b"}'])
@example(['{"o":{"id":1,"s":"a"},"s":"b"}', '{"o":{"id":1,"s":null},"s":null}'])
@example(['{"n":1,"id":2}', '{"n""id":2}', '{"n":1,:2,"id":3}'])
@example(['{"n":1,"id":2}', '{"n":1:2,"id":3}', '{"n":1,"id":3:}'])
@example(['\ufeff{"id":1}', '{"id":1}'])
@example(['{"id":1}', '\ufeff{"id":1}'])
@example(['{"id":1}', '{"id":1}{"id":2}', '{"id":', "3}"])
@example(['{"f":1e289}', '{"f":99999999999999999e289}', '{"f":-0}'])
def test_rows_are_those_of_json_when_records_mostly_are_alike(texts: list[str]) -> None:
    check(texts, WANTED)


# What is read, and by what


def claimed(texts: list[str], wanted: Mapping[str, Wanted] = WANTED) -> list[int]:
    check(texts, wanted)
    found, deferred = Shapes(wanted, ignore_extra=True).split(text_array(texts))
    return [place for place, _, _ in sorted(claims(found, deferred, len(texts)))]


FLAT = '{"id": 1, "s": "é{,:}", "f": 2.5, "b": true, "x": null}'
PLAIN_FILES = [
    ([FLAT] * 40, 40),
    ([FLAT.replace(": ", ":").replace(", ", ",")] * 3, 3),
    (['{"id":1,"n":null}', '{"id":1,"n":2}'], 2),
    (['{"s":"a","é":null}', '{"s":"b","é":"c"}', '{"s":"d","é":"null"}'], 3),
    (['{"o":null}', '{"o":{"id":1,"s":null,"deep":{"b":true}}}', '{"o":{"id":2}}'], 3),
    (
        [
            '{"ints":[],"tags":[]}',
            '{"ints":[1,-2, 3],"tags":null}',
            '{"ints":[4],"tags":["a","b"]}',
        ],
        3,
    ),
    (['{"s":"\\n\\"\\u00e9\\u0000"}', '{"s":"plain"}'], 2),
    (['{"s":"\\uD83D\\ude00 \\u00E9"}', '{"s":"\U0001f600"}', '{"s":"\\ud83dx"}'], 2),
    (['{"id":1,"x":1}', '{"id":1,"x":"text"}', '{"id":1,"x":"\\ud83d"}'], 2),
    (['{"id":1}', '{"id":1,"s":"a"}', '{"s":"a","id":1}', '{"id":1,"f":1}'], 4),
    (["{}"] * 3, 0),
    ([], 0),
]


@pytest.mark.parametrize(("texts", "count"), PLAIN_FILES)
def test_records_are_read_when_they_are_plain(texts: list[str], count: int) -> None:
    assert len(claimed(texts)) == count


ODD_RECORDS = [
    '{"id":1,"s":"a"',
    '{"id":1,"s":"a"}}',
    '{"id":1,"s":"a"}{"id":1,"s":"a"}',
    '{"id":1,"s":"a","id":2}',
    '{"id":1,"s":null}',
    '{"id":null,"s":"a"}',
    '{"id":1.0,"s":"a"}',
    '{"id":"1","s":"a"}',
    '{"id":true,"s":"a"}',
    '{"id":01,"s":"a"}',
    '{"id":-0,"s":"a"}',
    '{"id":1234567890123456789,"s":"a"}',
    '{"id":1,"s":"a" }',
    '{"id":1,"s":"\\ud800"}',
    '{"id":1,"s":"\t"}',
    '{"id":1,"s":"a""}',
    '{"id":1,"s":["a"]}',
    '{"id":1,"z":"a"}',
    '{"s":"a","id":1}',
    '{"id":1}',
    "[1]",
    '"id"',
]


@pytest.mark.parametrize("odd", ODD_RECORDS)
def test_record_is_left_alone_when_it_is_not_of_the_shape(odd: str) -> None:
    texts = ['{"id":1,"s":"a"}'] * 100
    texts[33] = texts[91] = odd
    assert claimed(texts) == [place for place in range(100) if place not in (33, 91)]


def test_four_shapes_are_read_when_there_are_more() -> None:
    kinds = [f'{{"id":{number},"{key}":1}}' for number, key in enumerate("nfgxyz")]
    texts = kinds * 100
    found, deferred = Shapes(WANTED, ignore_extra=True).split(text_array(texts))
    assert (len(found), len(deferred)) == (4, 200)
    claims(found, deferred, len(texts))


def test_rows_are_those_of_the_slice_when_records_are_a_slice() -> None:
    records = text_array(["no", *[f'{{"id":{number}}}' for number in range(50)], "no"])
    found, deferred = Shapes(WANTED, ignore_extra=True).split(records.slice(2, 48))
    assert [row["id"] for _, row, _ in claims(found, deferred, 48)] == list(range(1, 49))


@pytest.mark.parametrize("keys", [60, 2000])
def test_records_are_read_or_left_when_they_are_wide(keys: int) -> None:
    wanted = {f"key{number}": Wanted(pa.float64(), nullable=True) for number in range(keys)}
    record = json.dumps({key: number / 7 for number, key in enumerate(wanted)})
    assert len(claimed([record] * 30, wanted)) == (30 if keys == 60 else 0)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int32(),
        pa.date32(),
        pa.list_(pa.list_(pa.int64())),
        pa.list_(pa.struct([("a", pa.int64())])),
        pa.struct([("a", pa.binary())]),
    ],
)
def test_type_is_refused_when_no_column_can_be_proved_to_have_it(kind: pa.DataType) -> None:
    with pytest.raises(NoShape):
        Shapes({"a": Wanted(kind, nullable=False)}, ignore_extra=True)


# Each proof is needed: loosened, it lets a record through that is read wrongly


LOOSENED = [
    (shape_text._FORMS, pa.int64(), "-?[0-9]+", ['{"id":1}', '{"id":007}']),
    (shape_text._FORMS, pa.float64(), r"-?[0-9]+(?:\.[0-9]+)?", ['{"f":1}', '{"f":-0}']),
    (shape_quotes, "_plain", lambda records: None, ['{"s":"a"}', '{"s":"\\t"}']),
    (shape_quotes, "_all_match", lambda *_: True, ['{"n":1,"id":1}', '{"n":01,"id":1}']),
    (shape_quotes, "_matches", lambda *_: None, ['{"n":1,"id":1}'] * 3 + ['{"id":1,"n":2}']),
    (
        shape_quotes,
        "_lines",
        lambda records: "\n".join(records.to_pylist()).encode(),
        ['\ufeff{"id":1}', *['{"id":1}'] * 3],
    ),
]


@pytest.mark.parametrize(("owner", "name", "loose", "texts"), LOOSENED)
def test_comparison_fails_when_a_proof_is_loosened(
    owner: Any, name: Any, loose: Any, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(texts, WANTED)
    if isinstance(owner, dict):
        monkeypatch.setitem(owner, name, loose)
    else:
        monkeypatch.setattr(owner, name, loose)
    with pytest.raises((AssertionError, ValueError)):
        check(texts, WANTED)
