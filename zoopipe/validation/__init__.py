"""pydantic's answers over Arrow columns: prove what can be proved, hand the rest to pydantic.

The door is narrow: `compile_plan(model, ...)` gives a `ModelPlan`, and a plan's `columns` and
`rows` take a batch, or rows, and give back what was accepted and what was refused, and why.
"""

from zoopipe.validation.accepted import Accepted
from zoopipe.validation.plan import ModelPlan, compile_plan, explain

__all__ = ["Accepted", "ModelPlan", "compile_plan", "explain"]
