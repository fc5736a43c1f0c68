"""Kernels of durations."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import EMPTY, byte_slice, no_nulls, text_array, text_scalar
from zoopipe.columns import Encoding, concat
from zoopipe.validation.kernels import Kernel, Proof

# pydantic writes 365 days as a year, so that fewer are proved. What each unit counts is below the
# next larger one, and a fraction does not end with a zero.
_DAYS = r"(?:[1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|36[0-4])"
_HOURS = r"(?:[1-9]|1[0-9]|2[0-3])H"
_MINUTES = r"(?:[1-9]|[1-5][0-9])M"
_SECONDS = r"(?:(?:[1-9]|[1-5][0-9])(?:\.[0-9]{0,5}[1-9])?|0\.[0-9]{0,5}[1-9])S"
_TIME = rf"(?:{_HOURS}(?:{_MINUTES})?(?:{_SECONDS})?|{_MINUTES}(?:{_SECONDS})?|{_SECONDS})"

_DIGITS = "0123456789"
# Counts with a leading zero and, as Python writes hours, without.
_COUNTS = text_array([f"{count:02}" for count in range(60)] + [str(count) for count in range(10)])
_TEXTS = {
    unit: text_array([f"{count}{unit}" if count else "" for count in (*range(60), *range(10))])
    for unit in "HMS"
}
_NO_DAYS = text_array(["", "0"])
_P, _D, _T, _ZERO = map(text_scalar, ("P", "D", "T", "PT0S"))


class DurationKernel(Kernel):
    """ISO durations below a year as pydantic writes them, `P1DT2H3M4.5S`, and what Python and pandas write
    for those of whole seconds: `2:03:04`, `1 day, 2:03:04`, `1 days 02:03:04`."""

    encoding: Encoding = "bare"
    _PATTERN = rf"^(?:P{_DAYS}D(?:T{_TIME})?|PT{_TIME}|PT0S)$"
    _CLOCK = rf"^(?:(?:0|{_DAYS}) days?,? )?(?:[0-9]|[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"

    def prove_text(self, column: pa.StringArray) -> Proof:
        proved = no_nulls(pc.match_substring_regex(column, pattern=self._PATTERN))
        if proved.true_count == len(proved):
            return self.proof(column, None)
        rest = pc.invert(proved)
        texts = column.filter(rest)
        clock = no_nulls(pc.match_substring_regex(texts, pattern=self._CLOCK))
        if not clock.true_count:
            return self.proof(column, proved)
        both = pc.replace_with_mask(proved, rest, clock)
        cells = pc.replace_with_mask(column, pc.and_not(both, proved), _iso(texts.filter(clock)))
        return self.proof(cells, both)


def _iso(clocks: pa.StringArray) -> pa.StringArray:
    """Days and a time of day as an ISO duration, which leaves out what is zero."""
    days_and_hours = byte_slice(clocks, 0, -6)
    days = pc.ascii_rtrim(pc.ascii_rtrim(days_and_hours, characters=_DIGITS), characters=" ,days")
    days = pc.if_else(pc.is_in(days, value_set=_NO_DAYS), EMPTY, concat(days, _D))
    time = concat(
        _counted(pc.ascii_ltrim(byte_slice(days_and_hours, -2), characters=" "), "H"),
        _counted(byte_slice(clocks, -5, -3), "M"),
        _counted(byte_slice(clocks, -2), "S"),
    )
    time = pc.if_else(pc.equal(time, EMPTY), EMPTY, concat(_T, time))
    iso = concat(_P, days, time)
    return pc.if_else(pc.equal(iso, _P), _ZERO, iso)


def _counted(counts: pa.StringArray, unit: str) -> pa.StringArray:
    return _TEXTS[unit].take(pc.index_in(counts, value_set=_COUNTS))
