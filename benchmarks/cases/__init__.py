"""The cases, in the order in which they run."""

from benchmarks.case import Case
from benchmarks.cases import memory, start_up, validated_copy, workers

CASES: dict[str, Case] = {
    case.name: case for case in (validated_copy.CASE, workers.CASE, memory.CASE, start_up.CASE)
}
