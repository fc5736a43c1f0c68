"""What the kernels of dates, times and durations prove, and that a looser proof would be noticed."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from proofs import check_noticed, check_proofs, has_no_kernel, kernel_of, proved
from pydantic import AwareDatetime, NaiveDatetime, PastDate, PastDatetime

from zoopipe.arrays import text_array, text_scalar
from zoopipe.validation import durations, temporal
from zoopipe.validation.durations import DurationKernel
from zoopipe.validation.temporal import DateKernel, DateTimeKernel, TimeKernel, ZoneKernel

DAY = "2024-02-29"
NOON = f"{DAY}T12:34:56"
# Each row: a type, cells that are proved, and cells that are left to pydantic.
PROOFS: list[Any] = [
    pytest.param(
        datetime,
        [
            *(NOON, f"{NOON}Z", f"{DAY} 00:00:00", f"{DAY} 23:59:59Z"),
            *(f"{NOON}.5", f"{NOON}.120", f"{NOON}.000", f"{NOON}.123456", f"{NOON}.000000Z"),
            *(f"{NOON}.5Z", f"{NOON}.100000Z", f"{NOON}.0", f"{NOON}.000001"),
            *(f"{NOON}+00:00", f"{NOON}-00:00", f"{NOON}+02:00", f"{NOON}-23:59"),
            *(f"{NOON}.5-03:30", f"{DAY} 12:34:56.000+00:00", f"{NOON}.120+14:00"),
            *(DAY, "1999-12-31", f"{DAY}T12:34", f"{DAY} 00:00"),
        ],
        [
            *("0001-01-01T00:00:00", "0000-01-01T00:00:00", "0999-12-31T00:00:00"),
            *(f"{NOON}.1234567", f"{NOON},5", f"{NOON}.", f"{NOON}z", f"{NOON} +02:00"),
            *(f"{NOON}+24:00", f"{NOON}+0200", f"{NOON}+02", f"{NOON}+02:60", f"{NOON}+02:00:00"),
            *("2023-02-29T00:00:00", "2100-02-29", "2024-04-31 00:00", f"{DAY}T24:00:00"),
            *(f"{DAY}T23:59:60", f"{DAY}t00:00:00", f"{DAY}_00:00:00", f"{DAY}T12:34Z"),
            *("1700000000", "1700000000000000", "", DAY[:-1], f"{DAY}T12", f"{NOON}\n"),
        ],
        id="datetime",
    ),
    pytest.param(
        AwareDatetime,
        [f"{NOON}Z", f"{NOON}+02:00", f"{NOON}.5Z", f"{NOON}-00:00", f"{DAY} 12:34:56.000-03:30"],
        [NOON, f"{NOON}.5", DAY, f"{DAY}T12:34", "", "x", f"{NOON}z", f"{NOON}+24:00"],
        id="aware",
    ),
    pytest.param(
        NaiveDatetime,
        [NOON, f"{NOON}.5", DAY, f"{DAY}T12:34", f"{DAY} 00:00:00.000"],
        [f"{NOON}Z", f"{NOON}+02:00", f"{NOON}.5Z", f"{NOON}-00:00", "", "x", f"{NOON}z"],
        id="naive",
    ),
    pytest.param(
        time,
        [
            *("00:00:00", "23:59:59", "12:34:56Z", "12:34", "00:00", "12:34:56.5", "12:34:56.120"),
            *("12:34:56.000", "12:34:56.123456Z", "12:34:56+00:00", "12:34:56-00:00"),
            *("12:34:56+02:00", "12:34:56.000-23:59", "12:34:56.7+05:30"),
        ],
        [
            *(
                "24:00:00",
                "23:59:60",
                "24:00",
                "12:60",
                "12:34:56.1234567",
                "12:34:56,5",
                "1:02:03",
            ),
            *("12:34:56.", "12:34:56z", "12:34Z", "12:34:56+24:00", "12:34:56+0200", "T12:34"),
            *("12:34:56 Z", "12:34:56\n", " 12:34", "3600", "", "١٢:٣٤", "12:34:56−02:00"),
        ],
        id="time",
    ),
    pytest.param(
        timedelta,
        [
            *("P1DT2H3M4S", "PT1S", "PT0S", "P364D", "PT59M", "PT23H", "P10DT1S", "PT1H2S"),
            *("PT1.5S", "PT0.000001S", "P1DT23H59M59.999999S"),
            *("00:00:00", "12:34:56", "2:03:04", "23:00:00", "00:59:00", "00:00:09"),
            *("1 day, 2:03:04", "1 days 02:03:04", "364 days, 00:00:00", "0 days 00:00:00"),
            *("0 days 01:00:00", "30 days, 12:00:01", "2 day 00:00:10"),
        ],
        [
            *("P365D", "P1W", "P1Y", "P1M", "P0D", "PT60S", "PT24H", "PT60M", "PT90M", "PT01S"),
            *("PT1.50S", "PT1.0S", "PT0.0S", "PT.5S", "PT1.1234567S", "P1DT", "PT", "P", "pt1s"),
            *("-PT1S", "+PT1S", "P-1D", "P1DT0S", "PT1H0M", "P01D", "PT1M1H", "PT1S\n"),
            *("24:00:00", "12:60:00", "12:34:60", "12:34", "-1 day, 2:03:04", "1 Day, 2:03:04"),
            *("1  day 02:03:04", "1 day02:03:04", "365 days, 00:00:00", "01 days 00:00:00", "1d"),
            *("12:34:56.5", "3600", "1.5", "-5", ""),
        ],
        id="timedelta",
    ),
]


@pytest.mark.parametrize(("annotation", "sure", "unsure"), PROOFS)
def test_kernel_proves_the_sure_and_leaves_the_rest_when_values_are_temporal(
    annotation: Any, sure: list[str], unsure: list[str]
) -> None:
    check_proofs(annotation, sure, unsure)


@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
@pytest.mark.parametrize("fraction", ["", ".1", ".250", ".123456"])
def test_kernel_proves_every_cell_when_a_column_has_one_form(fraction: str, zone: str) -> None:
    for kind, day in ((datetime, f"{DAY}T"), (datetime, f"{DAY} "), (time, "")):
        cells = [f"{day}{hour:02}:00:59{fraction}{zone}" for hour in range(24)]
        check_proofs(kind, cells, [])


def test_kernel_proves_every_year_when_arrow_parses_the_whole_column() -> None:
    years = ["0001-01-01T00:00:00", "0004-02-29T01:02:03", "9999-12-31T23:59:59"]
    assert [cell for cell, _ in proved(kernel_of(datetime), years)] == years
    assert proved(kernel_of(datetime), ["0000-01-01T00:00:00", *years]) == []


@pytest.mark.parametrize(
    "settings", [{"ser_json_timedelta": "float"}, {"ser_json_temporal": "seconds"}]
)
@pytest.mark.parametrize("annotation", [date, datetime, time, timedelta])
def test_kernel_is_none_when_settings_write_times_otherwise(annotation: Any, settings: Any) -> None:
    if settings == {"ser_json_timedelta": "float"} and annotation is not timedelta:
        assert kernel_of(annotation, settings) is kernel_of(annotation)
        return
    assert has_no_kernel(annotation, settings) == f"the setting {next(iter(settings))}"


@pytest.mark.parametrize("annotation", [PastDate, PastDatetime])
def test_kernel_is_none_when_times_are_constrained(annotation: Any) -> None:
    assert "of date" in has_no_kernel(annotation)


@pytest.mark.parametrize("annotation", [AwareDatetime, NaiveDatetime])
def test_typed_columns_are_proved_by_their_zone(annotation: Any) -> None:
    for zone in ("UTC", None):
        column = pa.array([datetime(2024, 2, 29), None], pa.timestamp("ms", zone))
        proof = kernel_of(annotation).prove(column)
        if (zone is None) is (annotation is NaiveDatetime):
            assert proof is not None
            assert proof.proved.to_pylist() == [True, False]
            assert proof.cells.type == pa.timestamp("us", zone)
        else:
            assert proof is None


# Each row: a type, where something looser is put, what, and the cells that then get a wrong answer.
ANY_TIME = r"^[0-9]{2}:[0-9]{2}:[0-9]{2}.*$"
ANY_DATETIME = r"^[-0-9]{10}[T ][:0-9]{8}.*$"
LOOSENED: list[Any] = [
    pytest.param(time, TimeKernel, "_PATTERN", ANY_TIME, ["24:00:00"], id="hour"),
    pytest.param(time, TimeKernel, "_PATTERN", ANY_TIME, ["23:59:60"], id="leap-second"),
    pytest.param(time, TimeKernel, "_PATTERN", ANY_TIME, ["12:34:56.1234567"], id="seven-digits"),
    pytest.param(time, TimeKernel, "_PATTERN", ANY_TIME, ["12:34:56+24:00"], id="whole-day-offset"),
    pytest.param(time, TimeKernel, "_PATTERN", ANY_TIME, ["12:34:56z"], id="small-z"),
    pytest.param(time, TimeKernel, "_SECONDS_END", 9, ["12:34:56.5"], id="time-tail"),
    pytest.param(time, temporal, "_UTC_OFFSETS", text_array(["x"]), ["12:34:56+00:00"], id="no-Z"),
    pytest.param(time, temporal, "_NO_FRACTION", text_array(["x"]), ["12:34:56.000"], id="zeros"),
    pytest.param(time, temporal, "_NO_SECONDS", text_scalar(":01"), ["12:34"], id="time-seconds"),
    pytest.param(time, TimeKernel, "_MINUTES", text_array(["24:00"]), ["24:00:00", "x"], id="24"),
    pytest.param(time, temporal, "_SECONDS", text_array([":60"]), ["00:00:60", "x"], id="60"),
    pytest.param(datetime, DateTimeKernel, "_PATTERN", ANY_DATETIME, [f"{NOON}+24:00"], id="day"),
    pytest.param(datetime, DateTimeKernel, "_PATTERN", ANY_DATETIME, [f"{NOON}.1234567"], id="7"),
    pytest.param(datetime, DateTimeKernel, "_SECONDS_END", 18, [f"{NOON}.5"], id="tail"),
    pytest.param(
        datetime, DateTimeKernel, "_FIRST_SECOND", -(10**11), ["0000-01-01T00:00:00"], id="0"
    ),
    pytest.param(
        datetime,
        DateTimeKernel,
        "_MINUTES",
        text_array(["T24:00"]),
        ["2024-01-01T24:00:00"],
        id="T24",
    ),
    pytest.param(AwareDatetime, ZoneKernel, "_WITH_ZONE", "", [NOON], id="aware"),
    pytest.param(NaiveDatetime, ZoneKernel, "_WITH_ZONE", "x", [f"{NOON}Z"], id="naive"),
    pytest.param(datetime, temporal, "_DAYS", text_array(["-02-30"]), ["2024-02-30"], id="30"),
    pytest.param(datetime, temporal, "_MIDNIGHT", text_scalar("T00:00:01"), [DAY], id="midnight"),
    pytest.param(date, temporal, "_DAYS", text_array(["-02-29"]), ["2023-02-29", "x"], id="leap"),
    pytest.param(date, temporal, "_DAYS", text_array(["-04-31"]), ["2023-04-31", "x"], id="april"),
    pytest.param(timedelta, DurationKernel, "_PATTERN", r"^P[0-9]+D$", ["P365D"], id="year"),
    pytest.param(timedelta, DurationKernel, "_PATTERN", r"^PT[0-9]+S$", ["PT60S"], id="minute"),
    pytest.param(timedelta, DurationKernel, "_PATTERN", r"^PT[0-9.]+S$", ["PT1.50S"], id="places"),
    pytest.param(timedelta, DurationKernel, "_PATTERN", r"^P.*$", ["P1DT"], id="no-time"),
    pytest.param(timedelta, DurationKernel, "_CLOCK", r"^[0-9:]+$", ["24:00:00"], id="24-hours"),
    pytest.param(timedelta, DurationKernel, "_CLOCK", r"^[0-9:]+$", ["12:34"], id="no-seconds"),
    pytest.param(timedelta, DurationKernel, "_CLOCK", r".", ["-1 day, 2:03:04"], id="minus"),
    pytest.param(timedelta, durations, "_NO_DAYS", text_array(["x"]), ["0 days 01:00:00"], id="0d"),
    pytest.param(timedelta, durations, "_ZERO", text_scalar("P"), ["00:00:00"], id="zero"),
]


@pytest.mark.parametrize(("annotation", "where", "name", "loose", "cells"), LOOSENED)
def test_comparison_fails_when_a_proof_of_times_is_loosened(
    annotation: Any,
    where: Any,
    name: str,
    loose: Any,
    cells: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_noticed(annotation, cells, lambda: monkeypatch.setattr(where, name, loose))


@pytest.mark.parametrize(
    ("kind", "annotation", "name", "loose", "cells"),
    [
        (DateTimeKernel, datetime, "_all_parsed", lambda _, c: True, [f"{DAY}T24:00:00"]),
        (DateTimeKernel, datetime, "_completed", lambda _, c: c.fill_null(NOON), [None, NOON]),
        (DateTimeKernel, datetime, "_usual", lambda _, c: pc.is_valid(c), ["x", NOON]),
        (TimeKernel, time, "_usual", lambda _, c: pc.is_valid(c), ["x", "12:34:56"]),
        (DateKernel, date, "_usual", lambda _, c: pc.is_valid(c), ["x", DAY]),
    ],
)
def test_comparison_fails_when_a_short_cut_is_loosened(
    kind: Any,
    annotation: Any,
    name: str,
    loose: Any,
    cells: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_noticed(annotation, cells, lambda: monkeypatch.setattr(kind, name, loose))


def test_comparison_fails_when_tails_are_not_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def as_it_is(column: pa.StringArray, *_: object) -> pa.StringArray:
        return column

    check_noticed(
        time,
        ["12:34:56.5"],
        lambda: monkeypatch.setattr(temporal, "_tails_written_again", as_it_is),
    )
