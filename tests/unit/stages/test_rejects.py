"""What is written of rejected rows, and in which order."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from oracle import csv_dicts, validated
from piping import csv_pipe, json_pipe, ran
from pydantic import BaseModel

from zoopipe import (
    BaseHook,
    ColumnHook,
    CSVInputAdapter,
    CSVOutputAdapter,
    EntryStatus,
    JSONInputAdapter,
    JSONOutputAdapter,
    Pipe,
)
from zoopipe.stages.flow import Refusal
from zoopipe.stages.rejects import original_name, reject_batch


class User(BaseModel):
    id: int
    name: str


META = ["_source", "_row", "_offset", "_stage", "_errors", "_text"]
TEXT = "id,name,more\n1,ann,a\nx,bob,b\ntoo,few\n4,dan,d\n5,\x00,e\ny,z,f\n"


def refuse_dan(row: dict[str, Any]) -> dict[str, Any]:
    if row["name"] == "dan":
        raise LookupError("no dan")
    return row


def test_reject_has_original_columns_then_where_when_and_why(tmp_path: Path) -> None:
    out = ran(
        tmp_path, csv_pipe(tmp_path, TEXT, schema_model=User, post_validation_hooks=[refuse_dan])
    )
    assert [list(reject) for reject in out.rejects] == [["id", "name", "more", *META]] * 4
    rejects = [
        {name: reject[name] for name in reject if name != "_source"} for reject in out.rejects
    ]
    _, refused = validated([{"id": "x", "name": "bob"}, {"id": "y", "name": "z"}], User)
    assert rejects[0] == {
        "id": "x",
        "name": "bob",
        "more": "b",
        "_row": 2,
        "_offset": TEXT.index("x,bob"),
        "_stage": "validate",
        "_errors": refused[0][1],
        "_text": None,
    }
    assert rejects[1]["id"] is None
    assert (rejects[1]["_row"], rejects[1]["_stage"]) == (3, "parse")
    assert rejects[1]["_offset"] == TEXT.index("too,few")
    assert rejects[1]["_text"] == "too,few"
    assert (rejects[2]["_row"], rejects[2]["_stage"]) == (4, "hook")
    assert rejects[2]["_offset"] == TEXT.index("4,dan")
    assert (rejects[3]["_row"], rejects[3]["_errors"]) == (6, refused[1][1])
    assert out.rejects[0]["_source"] == str(tmp_path / "in.csv")


@pytest.mark.parametrize(
    "text", ['{"id": 1', '{"id": NaN}', "12", '{"id": "\\ud800"}', '{"id": 7}']
)
def test_reject_is_one_line_of_json_when_its_record_ended_the_worker(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "in.jsonl").write_text(text + "\n")
    adapter = JSONInputAdapter(tmp_path / "in.jsonl")
    (block,) = adapter.read(adapter.plan(1).shards[0], None)
    refusal = Refusal(0, "worker", [{"loc": [], "type": "worker_lost", "msg": ""}])
    encode = JSONOutputAdapter(tmp_path / "unused.jsonl").encoder(None)
    payload = encode(reject_batch(block, [refusal], 0)).payload
    (line,) = b"".join(map(bytes, payload)).splitlines()
    reject = json.loads(line)
    assert (reject["_row"], reject["_stage"]) == (1, "worker")
    assert (reject["_text"], reject.get("id")) == ((None, 7) if "7" in text else (text, None))


def test_reject_keeps_the_row_as_read_when_hooks_changed_it(tmp_path: Path) -> None:
    class Spoil(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            for entry in entries:
                entry["raw_data"]["id"] = "spoilt"
            return entries

    pipe = csv_pipe(tmp_path, "id,name\n1,ann\n", schema_model=User, pre_validation_hooks=[Spoil()])
    (reject,) = ran(tmp_path, pipe).rejects
    assert (reject["id"], reject["name"], reject["_row"]) == ("1", "ann", 1)


def test_rejects_are_in_input_order_when_stages_differ(tmp_path: Path) -> None:
    class FailOdd(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            for entry in entries:
                if entry["position"] % 3 == 1:
                    entry["status"] = EntryStatus.FAILED
            return entries[::-1]

    lines = [
        "bad,row,wide" if n % 3 == 0 else f"{n if n % 3 == 1 else 'x'},n{n}" for n in range(300)
    ]
    pipe = csv_pipe(
        tmp_path,
        "id,name\n" + "\n".join(lines) + "\n",
        schema_model=User,
        post_validation_hooks=[FailOdd()],
    )
    out = ran(tmp_path, pipe)
    assert [reject["_row"] for reject in out.rejects] == list(range(1, 301))
    assert [reject["_stage"] for reject in out.rejects] == ["parse", "hook", "validate"] * 100


def test_reject_tells_the_row_as_json_when_a_hook_left_its_place_unknown(tmp_path: Path) -> None:
    class WithoutFirst(ColumnHook):
        def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch.slice(1)

    text = "id,name\n1,ann\nx,bob\n2,dan\n"
    for refusing in ([refuse_dan], []):
        out = ran(
            tmp_path,
            csv_pipe(
                tmp_path,
                text,
                schema_model=User,
                pre_validation_hooks=[WithoutFirst()],
                post_validation_hooks=refusing,
            ),
        )
        found = [(reject["_stage"], json.loads(reject["_text"])) for reject in out.rejects]
        dan = {"id": 2, "name": "dan"}
        expected = [("validate", {"id": "x", "name": "bob"}), ("hook", dan)]
        assert found == expected[: 1 + len(refusing)]
        assert {reject["_row"] for reject in out.rejects} == {None}


def test_reject_tells_the_row_as_json_when_a_hook_added_it(tmp_path: Path) -> None:
    class Adding(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            failed = {"raw_data": {"id": "no"}, "status": EntryStatus.FAILED}
            return [*entries, {"raw_data": {"id": "x"}}, failed]

    text = "id,name\n1,a\n"
    out = ran(
        tmp_path, csv_pipe(tmp_path, text, schema_model=User, pre_validation_hooks=[Adding()])
    )
    found = [(reject["_stage"], json.loads(reject["_text"])) for reject in out.rejects]
    assert sorted(found, key=str) == [("hook", {"id": "no"}), ("validate", {"id": "x"})]


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_rejects_are_numbered_in_the_whole_input_when_sharded(tmp_path: Path, workers: int) -> None:
    text = "id,name\n" + "".join(f"{n if n % 10 else 'x'},name {n}\n" for n in range(5000))
    out = ran(tmp_path, csv_pipe(tmp_path, text, schema_model=User), workers)
    lines, refused = validated(csv_dicts(text.encode()), User)
    assert out.lines == lines
    assert [(reject["_row"], reject["_errors"]) for reject in out.rejects] == refused
    starts = [text.index(f"\nx,name {row - 1}\n") + 1 for row, _ in refused]
    assert [reject["_offset"] for reject in out.rejects] == starts


def test_reject_columns_give_way_when_the_input_has_their_names(tmp_path: Path) -> None:
    assert (original_name("a"), original_name("_row")) == ("a", "_row_")
    pipe = csv_pipe(tmp_path, "id,name,_row,_text\nx,ann,mine,words\n", schema_model=User)
    (reject,) = ran(tmp_path, pipe).rejects
    assert (reject["_row_"], reject["_text_"], reject["_row"]) == ("mine", "words", 1)


def test_rejects_in_csv_have_errors_as_json(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text('id,name\nx,"a ""b"", c"\n')
    Pipe(
        CSVInputAdapter(source),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        CSVOutputAdapter(tmp_path / "rejected.csv"),
        schema_model=User,
    ).run()
    text = (tmp_path / "rejected.csv").read_text()
    header, row = list(csv.reader(io.StringIO(text, newline="")))
    assert header == ["id", "name", *META]
    _, refused = validated([{"id": "x", "name": "n"}], User)
    assert row[:2] == ["x", 'a "b", c']
    assert json.loads(row[header.index("_errors")]) == refused[0][1]


def test_json_rejects_keep_their_own_keys_and_text(tmp_path: Path) -> None:
    text = '{"id": 1, "name": "a"}\n{"id": "x", "more": [1, null]}\n{broken\n[1]\n{"name": "b"}\n'
    out = ran(tmp_path, json_pipe(tmp_path, text, schema_model=User))
    assert out.rows == [{"id": 1, "name": "a"}]
    first, broken, array, last = out.rejects
    assert list(first) == ["id", "more", *META]
    assert first["more"] == [1, None]
    assert (broken["_stage"], broken["_text"], broken["_row"]) == ("parse", "{broken", 3)
    assert (array["_stage"], array["_text"]) == ("validate", "[1]")
    _, refused = validated([{"id": "x", "more": 1}, [1], {"name": "b"}], User)
    assert [first["_errors"], array["_errors"], last["_errors"]] == [
        errors for _, errors in refused
    ]


def test_summary_counts_each_reason_of_a_row_once(tmp_path: Path) -> None:
    text = "id,name\nx,a\ny,b\n1,c\nfew\n2,dan\n"
    pipe = csv_pipe(tmp_path, text, schema_model=User, post_validation_hooks=[refuse_dan])
    summary = dict(ran(tmp_path, pipe).report.error_summary)
    assert {key.split(": ")[-1]: count for key, count in summary.items()} == {
        "int_parsing": 2,
        "csv_width": 1,
        "hook_error": 1,
    }
