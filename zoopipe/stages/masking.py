"""What of rejected rows is hidden: secrets in the rejects, and values of rows in logs and reports."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import text_array, text_scalar
from zoopipe.columns import is_record_batch, record_batch
from zoopipe.reasons import Reason, Stage
from zoopipe.validation.privacy import MASK, Secrets, declared_names, secrets_of

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe

_MASK = text_scalar(MASK)
# Stands for a key of the row's own in the name of a reason.
_SOME_KEY = "*"
# Errors whose messages the code of users writes.
_USERS = ("value_error", "assertion_error", "hook_error", "not_serializable")


def secrets_in(pipe: Pipe) -> Secrets:
    """What is masked in the rejects of a pipe."""
    if pipe.show_secrets:
        return Secrets()
    declared = Secrets() if pipe.schema_model is None else secrets_of(pipe.schema_model)
    return Secrets(declared.columns.union(pipe.secret_columns), declared.everything)


class Masking:
    """Hides what may not be shown of a pipe's rejected rows.

    Args:
        secrets: what is secret.
        names: the names that a model's errors may have in their places; None where there is no model.
    """

    def __init__(self, secrets: Secrets, names: Collection[str] | None = None) -> None:
        self._secrets = secrets
        self._names = names

    @classmethod
    def of(cls, pipe: Pipe) -> Masking:
        """What the pipe asks for."""
        model = pipe.schema_model
        return cls(secrets_in(pipe), None if model is None else declared_names(model))

    def columns(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The original columns of rejected rows, a mask in place of each secret that is there."""
        if not self._secrets:
            return batch
        if is_record_batch(batch.schema):
            return record_batch(text_array(list(map(self._record, batch.column(0).to_pylist()))))
        columns = [
            self._masked(column) if name in self._secrets else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def _masked(self, column: pa.Array) -> pa.StringArray:
        return pc.if_else(column.is_valid(), _MASK, pa.nulls(len(column), pa.string()))

    def _record(self, record: str | None) -> str | None:
        if record is None:
            return None
        row: dict[str, Any] = json.loads(record)
        if not any(name in self._secrets for name in row):
            return record
        return json.dumps(
            {
                name: MASK if name in self._secrets and value is not None else value
                for name, value in row.items()
            }
        )

    def text(self, text: str | None) -> str | None:
        """The text of a record; where it may hold a secret nobody knows where."""
        return MASK if text is not None and self._secrets else text

    def reasons(self, stage: Stage, reasons: list[Reason]) -> list[Reason]:
        """The reasons, without the messages that may quote a secret: those about secret columns, and those
        that a validator or a hook has written about the whole row."""
        if not self._secrets or stage in ("parse", "worker"):
            return reasons
        return [
            {**reason, "msg": MASK} if self._may_quote(stage, reason) else reason
            for reason in reasons
        ]

    def _may_quote(self, stage: Stage, reason: Reason) -> bool:
        place = reason["loc"]
        if place:
            return place[0] in self._secrets
        return stage == "validate" or reason["type"] in _USERS

    def kind(self, stage: Stage, reason: Reason) -> tuple[str, str]:
        """The field and error type by which logs and reports count a reason.

        In the place of a validation error keys that are the row's own are values, and not shown.
        """
        place = reason["loc"]
        if stage == "validate" and self._names is not None:
            names = self._names
            place = [
                part if isinstance(part, int) or part in names else _SOME_KEY for part in place
            ]
        return ".".join(map(str, place)), str(reason["type"])
