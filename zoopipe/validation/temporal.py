"""Kernels of dates and times.

pydantic writes them in one form: `T` before a time, seconds always, a fraction of six digits or none, and
`Z` for no offset. Text in that form is passed on as it is, other forms of the same are written again.
"""

from __future__ import annotations

import calendar

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import (
    EMPTY,
    byte_slice,
    int32_scalar,
    no_nulls,
    text_array,
    text_scalar,
    within,
)
from zoopipe.arrow_text import is_plain_time, is_plain_timestamp
from zoopipe.columns import Encoding, concat
from zoopipe.validation.kernels import Kernel, Proof, cast_or_none, sure_or_matching, typed_proof

_MONTH_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
# 29 February: years that four divides, save whole centuries, of which 2000 is left in.
_LEAP_DAY = r"(?:(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
_DATE = rf"(?:[12][0-9]{{3}}-{_MONTH_DAY}|{_LEAP_DAY})"
# A seventh digit of a fraction would be cut off; an offset is less than a day.
_TAIL = r"(?:\.[0-9]{1,6})?(?:Z|[-+](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
_TIME = rf"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]{_TAIL}"

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
# The days that every year has: 2023 had no other.
_DAYS = text_array(
    [
        f"-{month:02}-{day + 1:02}"
        for month in range(1, 13)
        for day in range(calendar.monthrange(2023, month)[1])
    ]
)
_CLOCK = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)]
#: What follows hour and minute where nothing has to be written again.
_SECONDS = text_array([f":{second:02}{zone}" for second in range(60) for zone in ("", "Z")])
_UTC_OFFSETS = text_array(["+00:00", "-00:00"])
_NO_FRACTION = text_array(["", "."])
_Z, _SPACE = map(text_scalar, ("Z", " "))
_MIDNIGHT, _NO_SECONDS = text_scalar("T00:00:00"), text_scalar(":00")


def _length(column: pa.StringArray, length: int) -> pa.BooleanArray:
    return pc.equal(pc.binary_length(column), int32_scalar(length))


def _tails_written_again(
    column: pa.StringArray, proved: pa.BooleanArray | None, start: int
) -> pa.StringArray:
    """Proved cells with the fraction and the offset, which begin at byte `start`, in pydantic's form."""
    # A byte more than the seconds can only be a Z.
    longer = pc.greater(pc.binary_length(column), int32_scalar(start + 1))
    odd = no_nulls(longer if proved is None else pc.and_(proved, longer))
    if not odd.true_count:
        return column
    texts = column.filter(odd)
    seconds, tail = (byte_slice(texts, *at) for at in ((0, start), (start,)))
    return pc.replace_with_mask(column, odd, concat(seconds, *_fraction_and_zone(tail)))


def _fraction_and_zone(tail: pa.StringArray) -> tuple[pa.StringArray, pa.StringArray]:
    """A fraction of six digits or none, and the offset, `Z` where it is none."""
    has_offset = pc.match_substring(tail, pattern=":")
    offset = byte_slice(tail, -6)
    offset = pc.if_else(pc.is_in(offset, value_set=_UTC_OFFSETS), _Z, offset)
    in_utc = pc.if_else(pc.ends_with(tail, pattern="Z"), _Z, EMPTY)
    fraction = pc.if_else(has_offset, byte_slice(tail, 0, -6), pc.ascii_rtrim(tail, characters="Z"))
    whole = pc.is_in(pc.ascii_rtrim(fraction, characters="0"), value_set=_NO_FRACTION)
    fraction = pc.if_else(whole, EMPTY, pc.ascii_rpad(fraction, width=7, padding="0"))
    return fraction, pc.if_else(has_offset, offset, in_utc)


def _usual_day(column: pa.StringArray) -> pa.BooleanArray:
    """Where text begins with a year from 1000 on, and a day that every year has."""
    years = byte_slice(column, 0, 4)
    usual_year = pc.and_not(pc.ascii_is_decimal(years), pc.starts_with(column, pattern="0"))
    return pc.and_(usual_year, pc.is_in(byte_slice(column, 4, 10), value_set=_DAYS))


def _all_of_length(column: pa.StringArray, length: int) -> bool:
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    return bool(lengths["min"] == lengths["max"] == length)


class DateKernel(Kernel):
    """ISO dates, `2024-02-29`."""

    encoding: Encoding = "bare"
    logical: str | None = "date"
    _PATTERN = rf"^{_DATE}$"
    _YEAR_ONE = -719162  # 0001-01-01 in days since 1970
    _LAST_DAY = 2932896  # 9999-12-31

    def prove_text(self, column: pa.StringArray) -> Proof:
        # Arrow parses YYYY-MM-DD alone, and knows which days there are, at a fifth of the cost.
        if _all_of_length(column, 10) and (days := cast_or_none(column, pa.date32())) is not None:
            first = pc.min(days.view(pa.int32())).as_py()
            if first is None or first >= self._YEAR_ONE:
                return self.as_it_is(column)
        return self.sure_or_matching(column, self._usual(column), self._PATTERN)

    def _usual(self, column: pa.StringArray) -> pa.BooleanArray:
        """Years from 1000 on, and days that every year has."""
        return pc.and_(_usual_day(column), _length(column, 10))

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Dates of the years that Python has."""
        if not self.is_exact(column.type):
            return None
        days = cast_or_none(column, pa.date32())
        if days is None:
            return None
        return typed_proof(
            within(days.view(pa.int32()), self._YEAR_ONE, self._LAST_DAY).view(pa.date32())
        )

    def is_exact(self, kind: pa.DataType) -> bool:
        return bool(pa.types.is_date(kind))


class DateTimeKernel(Kernel):
    """ISO date and time, naive or with an offset. Seconds, or the whole time of day, may be missing."""

    encoding: Encoding = "bare"
    logical: str | None = "datetime"
    _PATTERN = rf"^{_DATE}[T ]{_TIME}$"
    _SEPARATOR_AT, _SECONDS_END = 10, 19
    # 0001-01-01T00:00:00 and 9999-12-31T23:59:59, in seconds since 1970
    _FIRST_SECOND, _LAST_SECOND = -62135596800, 253402300799
    _MINUTES = text_array([f"{mark}{clock}" for mark in "T " for clock in _CLOCK])

    def prove_text(self, column: pa.StringArray) -> Proof:
        cells = self._completed(column)
        proved = None
        if not self._all_parsed(cells):
            proved = no_nulls(sure_or_matching(cells, self._usual(cells), self._PATTERN))
        elif cells.null_count:
            proved = cells.is_valid()
        at = self._SEPARATOR_AT
        spaced = pc.equal(byte_slice(cells, at, at + 1), _SPACE)
        if spaced.true_count:
            replaced = pc.utf8_replace_slice(cells, start=at, stop=at + 1, replacement="T")
            cells = pc.if_else(spaced, replaced, cells)
        return self.proof(_tails_written_again(cells, proved, self._SECONDS_END), proved)

    def _completed(self, column: pa.StringArray) -> pa.StringArray:
        """Dates and minutes with the zeros that they leave out, which changes no other valid text."""
        shortest = pc.min(pc.binary_length(column)).as_py()
        if shortest is None or shortest > 16:
            return column
        for length, missing in ((10, _MIDNIGHT), (16, _NO_SECONDS)):
            short = _length(column, length)
            if short.true_count:
                column = pc.if_else(short, concat(column, missing), column)
        return column

    def _all_parsed(self, column: pa.StringArray) -> bool:
        """Whether Arrow, which knows which days there are, parses all cells, at a fourth of the cost."""
        if _all_of_length(column, 19):
            kind = pa.timestamp("s")
        elif _all_of_length(column, 20):
            # Arrow takes no other text of this length for a time with an offset.
            kind = pa.timestamp("s", "UTC")
        else:
            return False
        times = cast_or_none(column, kind)
        if times is None:
            return False
        first = pc.min(times.view(pa.int64())).as_py()
        return bool(first is None or first >= self._FIRST_SECOND)

    def _usual(self, column: pa.StringArray) -> pa.BooleanArray:
        """Days that every year has, to the second."""
        usual_minute = pc.is_in(byte_slice(column, 10, 16), value_set=self._MINUTES)
        usual_second = pc.is_in(byte_slice(column, 16), value_set=_SECONDS)
        return pc.and_(_usual_day(column), pc.and_(usual_minute, usual_second))

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Timestamps, naive or in UTC, of the years that Python has."""
        kind = column.type
        if not self.is_exact(kind):
            return None
        second = _PER_SECOND[kind.unit]
        least, most = self._FIRST_SECOND * second, (self._LAST_SECOND + 1) * second - 1
        ticks = within(column.view(pa.int64()), least, most)
        return typed_proof(ticks.view(kind).cast(pa.timestamp("us", kind.tz)))

    def is_exact(self, kind: pa.DataType) -> bool:
        return is_plain_timestamp(kind)


class ZoneKernel(DateTimeKernel):
    """Dates and times that must have an offset, or must have none."""

    _WITH_ZONE = r"[Z+-]"

    def __init__(self, is_aware: bool) -> None:
        self._is_aware = is_aware

    def prove_text(self, column: pa.StringArray) -> Proof:
        proof = super().prove_text(column)
        # Behind the seconds, in pydantic's form, are a fraction and the offset.
        tail = byte_slice(proof.cells, self._SECONDS_END)
        has_zone = no_nulls(pc.match_substring_regex(tail, pattern=self._WITH_ZONE))
        return proof.where(has_zone if self._is_aware else pc.invert(has_zone))

    def prove_typed(self, column: pa.Array) -> Proof | None:
        proof = super().prove_typed(column)
        return proof if (getattr(column.type, "tz", None) is not None) is self._is_aware else None

    def is_exact(self, kind: pa.DataType) -> bool:
        return super().is_exact(kind) and (kind.tz is not None) is self._is_aware


class TimeKernel(Kernel):
    """ISO times of day, naive or with an offset. Seconds may be missing."""

    encoding: Encoding = "bare"
    _PATTERN = rf"^{_TIME}$"
    _SECONDS_END = 8
    _LAST_TICK = 86_400_000_000 - 1  # The day's last microsecond.
    _MINUTES = text_array(_CLOCK)

    def prove_text(self, column: pa.StringArray) -> Proof:
        short = _length(column, 5)
        cells = (
            pc.if_else(short, concat(column, _NO_SECONDS), column) if short.true_count else column
        )
        proved = no_nulls(sure_or_matching(cells, self._usual(cells), self._PATTERN))
        return self.proof(_tails_written_again(cells, proved, self._SECONDS_END), proved)

    def _usual(self, column: pa.StringArray) -> pa.BooleanArray:
        """To the second, naive or in UTC."""
        usual_minute = pc.is_in(byte_slice(column, 0, 5), value_set=self._MINUTES)
        return pc.and_(usual_minute, pc.is_in(byte_slice(column, 5), value_set=_SECONDS))

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Times of day, without an offset."""
        if not self.is_exact(column.type):
            return None
        ticks = column.cast(pa.time64("us")).view(pa.int64())
        return typed_proof(within(ticks, 0, self._LAST_TICK).view(pa.time64("us")))

    def is_exact(self, kind: pa.DataType) -> bool:
        return is_plain_time(kind)
