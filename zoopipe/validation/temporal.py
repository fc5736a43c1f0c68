"""Kernels of dates and times."""

from __future__ import annotations

import calendar

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import int64_scalar, text_array, within
from zoopipe.columns import Encoding, is_plain_timestamp
from zoopipe.validation.kernels import Kernel, Proof, cast_or_none, typed_proof

_MONTH_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
# 29 February: years that four divides, save whole centuries, of which 2000 is left in.
_LEAP_DAY = r"(?:(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
_DATE = rf"(?:[12][0-9]{{3}}-{_MONTH_DAY}|{_LEAP_DAY})"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
_10 = int64_scalar(10).cast(pa.int32())


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
    # The days that every year has: 2023 had no other.
    _ENDS = text_array(
        [
            f"-{month:02}-{day + 1:02}"
            for month in range(1, 13)
            for day in range(calendar.monthrange(2023, month)[1])
        ]
    ).view(pa.binary())

    def prove_text(self, column: pa.StringArray) -> Proof:
        # Arrow parses YYYY-MM-DD alone, and knows which days there are, at a fifth of the cost.
        if _all_of_length(column, 10) and (days := cast_or_none(column, pa.date32())) is not None:
            first = pc.min(days.view(pa.int32())).as_py()
            if first is None or first >= self._YEAR_ONE:
                return self.as_it_is(column)
        return self.sure_or_matching(column, self._usual(column), self._PATTERN)

    def _usual(self, column: pa.StringArray) -> pa.BooleanArray:
        """Years from 1000 on, and days that every year has."""
        raw = column.view(pa.binary())
        years = pc.binary_slice(raw, start=0, stop=4).view(pa.string())
        usual_year = pc.and_not(pc.ascii_is_decimal(years), pc.starts_with(column, pattern="0"))
        usual_day = pc.is_in(pc.binary_slice(raw, start=4, stop=10), value_set=self._ENDS)
        return pc.and_(pc.and_(usual_year, usual_day), pc.equal(pc.binary_length(column), _10))

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
    """ISO date and time to the second, naive or in UTC; a space between the two becomes `T`."""

    encoding: Encoding = "bare"
    logical: str | None = "datetime"
    _PATTERN = rf"^{_DATE}[T ]{_TIME}Z?$"
    _SEPARATOR_AT = 10
    # 0001-01-01T00:00:00 and 9999-12-31T23:59:59, in seconds since 1970
    _FIRST_SECOND, _LAST_SECOND = -62135596800, 253402300799

    def prove_text(self, column: pa.StringArray) -> Proof:
        proof = self.matching(column, self._PATTERN)
        spaced = pc.match_substring_regex(column, pattern=r"^[-0-9]{10} ")
        if not spaced.true_count:
            return proof
        at = self._SEPARATOR_AT
        replaced = pc.utf8_replace_slice(column, start=at, stop=at + 1, replacement="T")
        return self.proof(pc.if_else(spaced, replaced, column), proof.proved)

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
