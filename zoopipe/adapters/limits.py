"""How large a record may be, so that a hostile one costs a rejected row and not the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoopipe.adapters.base import Block, Unparsed
from zoopipe.arrays import int64_array
from zoopipe.checks import check_whole
from zoopipe.reasons import Reason

#: Bytes of a record, by default.
MAX_RECORD_BYTES = 1 << 24
#: Columns of a file, or keys of a record, by default.
MAX_COLUMNS = 10_000
#: How many times its size a file may be decompressed to, by default. gzip cannot do more than 1,032.
MAX_DECOMPRESSION_RATIO = 1000

# Of a record that is too long so much is kept.
_KEPT_CHARS = 1024
#: Bytes that hold so many characters, in any encoding.
KEPT_BYTES = 4 * _KEPT_CHARS


def check_limits(**limits: int) -> None:
    """Options that limit something: whole numbers from 1."""
    for name, value in limits.items():
        check_whole(name, value, 1)


def too_long(most_bytes: int) -> Reason:
    """Why a record with more bytes is rejected."""
    return {
        "loc": [],
        "type": "record_too_long",
        "msg": f"the record has more than {most_bytes:,} bytes (max_record_bytes)",
    }


def too_wide(columns: int, most: int) -> Reason:
    """Why a record with more keys is rejected."""
    return {
        "loc": [],
        "type": "record_too_wide",
        "msg": f"the record has {columns:,} keys, and max_columns is {most:,}",
    }


def head_of(text: str) -> str:
    """What is kept of a record that is too long."""
    return text[:_KEPT_CHARS]


def reject_records(block: Block, refused: Mapping[int, tuple[Reason, str]]) -> None:
    """Takes records, by their numbers in the block, out of its rows, with the reason and text of each."""
    rows: Sequence[int] = range(block.records) if block.row_records is None else block.row_records
    kept = [at for at, record in enumerate(rows) if record not in refused]
    unparsed = [item for item in block.unparsed if item.record not in refused]
    unparsed += [Unparsed(record, [reason], text) for record, (reason, text) in refused.items()]
    block.batch = block.batch.take(int64_array(kept))
    block.row_records = [rows[at] for at in kept]
    block.unparsed = sorted(unparsed, key=lambda item: item.record)
