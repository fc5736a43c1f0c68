"""What validation gives back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from zoopipe.reasons import Reason

#: Stands for a model's whole rows where fields are counted by their names.
WHOLE_ROWS = "whole rows"


@dataclass(slots=True)
class Accepted:
    """What pydantic makes of a batch.

    Attributes:
        checked: all rows as columns (from `columns`); what stands in refused ones means nothing.
        selection: which rows of `checked` are accepted; None where all are.
        values: the accepted rows as dicts of Python values (from `rows`).
        kept: the positions of the accepted rows in what was given; None where all were.
        refused: position and pydantic's reasons, for each refused row.
        unparsed: position and reason, for each record that is no JSON.
        deferred: how many rows pydantic was given, whole or in part.
        deferred_to: how many it was given of each field, or as `WHOLE_ROWS`.
        instances: the accepted rows as instances of the model (from `rows`, where the model may
            write a value differently from how pydantic writes any value of its type).
    """

    checked: pa.RecordBatch | None = None
    selection: pa.BooleanArray | None = None
    values: list[dict[str, Any]] = field(default_factory=list)
    kept: Sequence[int] | None = None
    refused: list[tuple[int, list[Reason]]] = field(default_factory=list)
    unparsed: list[tuple[int, list[Reason]]] = field(default_factory=list)
    deferred: int = 0
    deferred_to: Counter[str] = field(default_factory=Counter)
    instances: list[BaseModel] = field(default_factory=list)

    @property
    def batch(self) -> pa.RecordBatch | None:
        """The accepted rows as columns (from `columns`)."""
        if self.checked is None or self.selection is None:
            return self.checked
        return self.checked.filter(self.selection)
