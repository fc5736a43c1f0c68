"""Parquet files joined without decoding: the bodies behind each other, and one footer with all row groups.

pyarrow's `FileMetaData.append_row_groups` leaves the places in the file as they are, which is right for a
footer of many files, and wrong for one of their copy.

Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift, whose field
numbers stand below.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoopipe.adapters.thrift import Field, Opened, Struct, ThriftError, read_struct, write_struct
from zoopipe.errors import LedgerError
from zoopipe.storage.parts import Part, PartFile, part_bytes

MAGIC = b"PAR1"
# The footer's length, and the magic again.
_TAIL_BYTES = 8

# FileMetaData
_ROWS, _ROW_GROUPS = 3, 4
# What has to be the same in all: version, schema, key_value_metadata, created_by, column_orders.
_SHARED = (1, 2, 5, 6, 7)
# RowGroup
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_LAST_ORDINAL = 32767
# ColumnChunk
_CHUNK_OFFSET, _META = 2, 3
# Offset and column index, each its place and its length. An offset index names places of pages itself, so
# that it would have to be written anew.
_PAGE_INDEX = (4, 5, 6, 7)
# ColumnMetaData: data_page_offset, index_page_offset, dictionary_page_offset, bloom_filter_offset
_PAGE_OFFSETS = (9, 10, 11, 14)
_OPENED: Opened = {_ROW_GROUPS: {_COLUMNS: {_META: {}}}}


def join_parts(file: PartFile, leader: Part, others: Sequence[Part]) -> None:
    """Puts the row groups of other parts behind those of the leader, and a footer of all behind them.

    The leader's own footer stays where it is: nobody looks there, since places in a Parquet file are those that
    its last footer names.

    Args:
        file: the leader, opened at its end.
        leader, others: parts, each a whole Parquet file of one schema and one writer.

    Raises:
        LedgerError: a part is not what its writer says.
        OutputError: the disk is full or failed.
    """
    parts = (leader, *others)
    footers, starts, end = [], [], leader.size_bytes
    for part in parts:
        footer, body_end = _footer(part)
        footers.append(footer)
        if part is leader:
            starts.append(len(MAGIC))
        else:
            starts.append(end)
            file.append(part, len(MAGIC), body_end)
            end += body_end - len(MAGIC)
    try:
        file.write(joined_footer(footers, starts))
    except ValueError as error:
        paths = ", ".join(str(part.path) for part in parts)
        raise LedgerError(f"parts do not fit each other: {error} ({paths})") from error


def _footer(part: Part) -> tuple[bytes, int]:
    """A part's metadata, and the byte at which they begin."""
    size = part.size_bytes
    tail = part_bytes(part, max(size - _TAIL_BYTES, 0), size)
    start = size - _TAIL_BYTES - int.from_bytes(tail[:4], "little")
    if not tail.endswith(MAGIC) or start < len(MAGIC):
        raise LedgerError(f"{part.path} is no Parquet file, as it was when it was written")
    return part_bytes(part, start, size - _TAIL_BYTES), start


def joined_footer(footers: Sequence[bytes], starts: Sequence[int]) -> bytes:
    """What stands behind the last body of a file made of others: footer, length and magic.

    Args:
        footers: the `FileMetaData` of the files whose bodies it has, in order.
        starts: the byte at which each body, what is behind a file's first magic, begins there.

    Raises:
        ValueError: a footer is damaged, or they are not of one schema.
    """
    try:
        first, *rest = [read_struct(footer, _OPENED) for footer in footers]
        for other in rest:
            if any(first.get(number) != other.get(number) for number in _SHARED):
                raise ValueError("its footer is not that of the first file")
        groups: list[Struct] = []
        for struct, start in zip((first, *rest), starts, strict=True):
            for group in struct[_ROW_GROUPS].value:
                groups.append(_moved(group, start - len(MAGIC), len(groups)))
        rows = sum(struct[_ROWS].value for struct in (first, *rest))
    except (ThriftError, KeyError) as error:
        raise ValueError(f"its footer is damaged: {error}") from error
    first[_ROWS] = first[_ROWS]._replace(value=rows)
    first[_ROW_GROUPS] = first[_ROW_GROUPS]._replace(value=groups)
    data = write_struct(first)
    return data + len(data).to_bytes(4, "little") + MAGIC


def _moved(group: Struct, distance: int, ordinal: int) -> Struct:
    """A row group, all of whose places are that much further on."""
    _shift(group, _GROUP_OFFSET, distance)
    if _ORDINAL in group:
        kind, _ = group.pop(_ORDINAL)
        if ordinal <= _LAST_ORDINAL:
            group[_ORDINAL] = Field(kind, ordinal)
    for chunk in group[_COLUMNS].value:
        _shift(chunk, _CHUNK_OFFSET, distance)
        for number in _PAGE_INDEX:
            chunk.pop(number, None)
        for number in _PAGE_OFFSETS:
            _shift(chunk[_META].value, number, distance)
    return group


def _shift(struct: Struct, number: int, distance: int) -> None:
    found = struct.get(number)
    # 0 is where the magic stands: writers mean that they do not say.
    if found is not None and found.value > 0:
        struct[number] = found._replace(value=found.value + distance)
