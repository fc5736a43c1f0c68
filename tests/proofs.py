"""What a kernel of one field proves of cells of text, held against pydantic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import pyarrow as pa
import pytest
from differential import check_plan
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import to_json

from zoopipe.validation.core_schema import Unprovable
from zoopipe.validation.definitions import Definitions
from zoopipe.validation.kernels import Kernel
from zoopipe.validation.types import kernel_for

Cells = Sequence[str | None]


def model_of(annotation: Any, config: ConfigDict | None = None) -> type[BaseModel]:
    """A model with one field, `value`."""
    return create_model("Single", __config__=config, value=(annotation, ...))


def kernel_of(annotation: Any, config: ConfigDict | None = None) -> Kernel:
    """The kernel that a plan asks about the only field of a model.

    Raises:
        Unprovable: there is none.
    """
    core: Any = model_of(annotation, config).__pydantic_core_schema__
    definitions = Definitions(core.get("definitions", []))
    core = definitions.top(core["schema"]) if core["type"] == "definitions" else core
    value = definitions.resolved(core["schema"]["fields"]["value"]["schema"])
    return kernel_for(value, core["config"])


def proved(kernel: Kernel, cells: Cells) -> list[tuple[str | None, str | None]]:
    """The cells that a kernel proves, with the text it gives each."""
    proof = kernel.prove(pa.array(list(cells), pa.string()))
    if proof is None:
        return []
    flags = [True] * len(cells) if proof.proved is None else proof.proved.to_pylist()
    texts = proof.cells.to_pylist()
    return [(cell, text) for cell, text, flag in zip(cells, texts, flags, strict=True) if flag]


def written(model: type[BaseModel], cell: str | None, encoding: str) -> str:
    """What pydantic makes of a cell, as text in an encoding."""
    value = model.model_validate({"value": cell}).model_dump(mode="json")["value"]
    if encoding == "json":
        return to_json(value).decode()
    assert isinstance(value, str)
    return value


def compare(model: type[BaseModel], cells: Cells) -> None:
    """The cells, together in both orders and each alone, against pydantic."""
    for some in (list(cells), list(cells)[::-1], *([cell] for cell in cells)):
        check_plan(model, [{"value": cell} for cell in some], ["value"])


def check_proofs(
    annotation: Any, sure: list[str], unsure: list[str], config: ConfigDict | None = None
) -> None:
    """Fails unless a field's kernel proves just the cells that are `sure`, with pydantic's text, whatever
    stands beside them, and the plan of its model gives pydantic's answers to all."""
    model, kernel = model_of(annotation, config), kernel_of(annotation, config)
    cells = [*sure, *unsure, None]
    assert [cell for cell, _ in proved(kernel, cells)] == sure
    for some in (cells, sure, *([cell] for cell in sure)):
        for cell, text in proved(kernel, some):
            assert text == written(model, cell, kernel.encoding)
    _check_slices(kernel, sure, cells)
    compare(model, cells)
    optional = model_of(Optional[annotation], config)  # noqa: UP045
    check_plan(optional, [{"value": cell} for cell in cells], ["value"])


def _check_slices(kernel: Kernel, sure: list[str], cells: list[str | None]) -> None:
    column = pa.array(["?", *cells, "?"], pa.string())
    proof = kernel.prove(column.slice(1, len(sure)))
    assert proof is not None
    assert proof.proved is None
    assert len(proof.cells) == len(sure)
    empty = kernel.prove(column.slice(1, 0))
    assert empty is not None
    assert len(empty.cells) == 0
    missing = kernel.prove(pa.nulls(2, pa.string()))
    assert missing is not None
    assert missing.proved is not None
    assert not missing.proved.true_count


def check_noticed(
    annotation: Any,
    cells: Cells,
    loosen: Callable[[], object],
    config: ConfigDict | None = None,
) -> None:
    """Fails unless the comparison with pydantic succeeds, and fails once something is looser."""
    model = model_of(annotation, config)
    compare(model, cells)
    loosen()
    with pytest.raises((AssertionError, ValidationError, pa.ArrowInvalid)):
        compare(model, cells)


def has_no_kernel(annotation: Any, config: ConfigDict | None = None) -> str:
    """Why a field has no kernel; fails where it has one."""
    with pytest.raises(Unprovable) as caught:
        kernel_of(annotation, config)
    return str(caught.value)
