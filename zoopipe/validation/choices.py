"""Kernels of values that are one of a few: literals and enums."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import text_array
from zoopipe.validation.kernels import Kernel, Proof


class ChoiceKernel(Kernel):
    """One of some strings: `Literal` of strings, enums with strings for values."""

    def __init__(self, choices: Sequence[str]) -> None:
        self._choices = text_array(list(choices))

    def prove_text(self, column: pa.StringArray) -> Proof:
        return self.proof(column, pc.is_in(column, value_set=self._choices))
