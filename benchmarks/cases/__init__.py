"""The cases, in the order in which they run."""

from benchmarks.case import Case
from benchmarks.cases import (
    clusters,
    copy,
    heavy_hook,
    json_lines,
    memory,
    one_field_validator,
    parquet,
    postgres,
    rich_model,
    scale,
    start_up,
    validated_copy,
    workers,
)

_MODULES = (
    copy,
    validated_copy,
    rich_model,
    one_field_validator,
    heavy_hook,
    json_lines,
    parquet,
    postgres,
    workers,
    clusters,
    scale,
    memory,
    start_up,
)
CASES: dict[str, Case] = {module.CASE.name: module.CASE for module in _MODULES}
