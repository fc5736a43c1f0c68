"""pydantic's answers over Arrow columns: prove what can be proved, hand the rest to pydantic.

The door is narrow: `compile_plan(model, ...)` gives a `ModelPlan`, and a plan's `columns` and
`rows` take a batch, or rows, and give back what was accepted and what was refused, and why.

Behind it: a model's core schema is read once (`schema`, `core_schema`, `definitions`, `functions`), and
`types` has a kernel for each type that columns can prove (`kernels`, `numbers`, `temporal`, ...). A batch
goes field by field through `check`: its kernel first, then pydantic for what is left (`fieldwise`), and
`cells` puts both together. Rows that have to be seen whole are in `whole`, records of JSON in `records`,
which `shapes` reads as columns where they look alike.
"""

from zoopipe.validation.accepted import Accepted
from zoopipe.validation.plan import ModelPlan, compile_plan, explain

__all__ = ["Accepted", "ModelPlan", "compile_plan", "explain"]
