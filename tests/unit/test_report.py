"""Reports: frozen, summed right, readable."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from zoopipe import FlowReport, PipeReport, PipeStatus

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def report(index=0, status=PipeStatus.COMPLETED, seconds=10.0, **values):
    return PipeReport(
        pipe_index=index,
        status=status,
        start_time=START,
        end_time=START + timedelta(seconds=seconds),
        **values,
    )


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(PipeReport)])
def test_pipe_report_is_frozen(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(PipeReport(), name, 1)


def test_flow_report_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FlowReport().pipes = ()


def test_report_pickles():
    flow = FlowReport((report(total_processed=3, error_summary={"id: int_parsing": 1}),))
    assert pickle.loads(pickle.dumps(flow)) == flow


@pytest.mark.parametrize(
    ("status", "finished"),
    [
        (PipeStatus.PENDING, False),
        (PipeStatus.RUNNING, False),
        (PipeStatus.COMPLETED, True),
        (PipeStatus.FAILED, True),
        (PipeStatus.ABORTED, True),
    ],
)
def test_pipe_report_is_finished_by_status(status, finished):
    assert report(status=status).is_finished is finished


def test_items_per_second_is_records_over_seconds():
    assert report(total_processed=500, seconds=2.5).items_per_second == 200.0


def test_items_per_second_is_zero_before_the_start():
    assert (PipeReport().items_per_second, PipeReport().duration) == (0.0, 0.0)


@pytest.mark.parametrize(
    "name",
    [
        "total_processed",
        "success_count",
        "error_count",
        "dropped_count",
        "added_count",
        "deferred_count",
        "ram_bytes",
        "bytes_read",
        "bytes_total",
    ],
)
def test_flow_report_sums_when_some_pipes_have_finished(name):
    states = [PipeStatus.COMPLETED, PipeStatus.RUNNING, PipeStatus.PENDING]
    pipes = [report(i, status, **{name: 10**i}) for i, status in enumerate(states)]
    assert getattr(FlowReport(tuple(pipes)), name) == 111


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("pending pending", "pending"),
        ("completed pending", "running"),
        ("failed running", "running"),
        ("completed completed", "completed"),
        ("completed failed", "failed"),
        ("aborted failed", "failed"),
        ("completed aborted", "aborted"),
    ],
)
def test_flow_status_follows_from_its_pipes(states, expected):
    pipes = tuple(report(i, PipeStatus(state)) for i, state in enumerate(states.split()))
    assert FlowReport(pipes).status is PipeStatus(expected)


def test_flow_report_says_all_errors():
    flow = FlowReport((report(error="disk full"), report(), report(error="worker lost")))
    assert flow.has_error
    assert flow.error == "disk full; worker lost"


def test_flow_error_summary_adds_up_most_frequent_first():
    flow = FlowReport((report(error_summary={"a": 1, "b": 2}), report(error_summary={"a": 5})))
    assert list(flow.error_summary.items()) == [("a", 6), ("b", 2)]


def test_eta_is_what_is_left_at_the_speed_so_far():
    pipes = (
        report(0, bytes_read=100, bytes_total=100),
        dataclasses.replace(
            report(1, PipeStatus.RUNNING, bytes_read=100, bytes_total=300),
            end_time=None,
            start_time=datetime.now(UTC) - timedelta(seconds=10),
        ),
    )
    flow = FlowReport(pipes[1:])
    assert flow.eta_s == pytest.approx(20, abs=1)


def test_eta_leaves_out_what_a_failed_pipe_will_not_read():
    failed = report(0, PipeStatus.FAILED, bytes_read=100, bytes_total=10**9)
    running = report(1, PipeStatus.RUNNING, bytes_read=100, bytes_total=200)
    flow = FlowReport((failed, running))
    assert flow.eta_s == pytest.approx(flow.duration * 100 / 200)


@pytest.mark.parametrize(
    "values", [{"bytes_read": 0, "bytes_total": 100}, {"bytes_read": 10, "bytes_total": None}]
)
def test_eta_is_none_when_it_cannot_be_known(values):
    assert FlowReport((report(status=PipeStatus.RUNNING, **values),)).eta_s is None


def test_eta_is_zero_when_all_have_finished():
    assert FlowReport((report(bytes_total=None),)).eta_s == 0.0


def test_printed_report_is_a_table_with_a_line_a_pipe():
    flow = FlowReport(
        (
            report(0, total_processed=1234567, success_count=1234560, error_count=7),
            report(1, PipeStatus.FAILED, error="disk full", error_summary={"id: int_parsing": 4}),
        )
    )
    lines = str(flow).splitlines()
    assert lines[0].split()[:5] == ["pipe", "status", "read", "written", "rejected"]
    assert lines[1].split()[:5] == ["0", "completed", "1,234,567", "1,234,560", "7"]
    assert "disk full" in lines[3]
    assert "4 rows for id: int_parsing" in lines[4]
    assert len({len(line) for line in lines[:3]}) == 1


def test_html_report_escapes_what_comes_from_data():
    markup = report(error="<script>alert('&')</script>", error_summary={"<b>: x": 1})._repr_html_()
    assert "<script>" not in markup
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in markup
    assert "&lt;b&gt;: x" in markup
    assert markup.count("<tr>") == 2


def test_flow_report_adds_up_what_was_deferred_to_what():
    flow = FlowReport((report(deferred_to={"a": 1, "b": 2}), report(deferred_to={"a": 5})))
    assert list(flow.deferred_to.items()) == [("a", 6), ("b", 2)]


def test_printed_report_says_what_share_was_deferred_when_some_was():
    counts = {"age": 15, "whole rows": 5}
    text = str(report(total_processed=1000, deferred_count=19, deferred_to=counts))
    assert "deferred 1.90% of the rows to pydantic: age 1.50%, whole rows 0.50%" in text
    assert "deferred" not in str(report(total_processed=1000))
