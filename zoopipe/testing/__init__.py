"""What third parties test engines and adapters with: conformance suites, scripted faults, inputs.

```python
import pytest
from zoopipe.testing import EngineConformance

class TestMyEngine(EngineConformance):
    @pytest.fixture
    def engine(self):
        return MyEngine(max_workers=2)

    @pytest.fixture
    def engine_source(self):
        return "from my_package import MyEngine\\nengine = MyEngine(max_workers=2)"
```

| file | what it holds |
|---|---|
| engines/ | the suite of engines; it needs pytest |
| adapters.py | the suites of inputs and outputs; they need pytest |
| faults.py | hooks that kill, raise, hold or log at a given shard, attempt and record |
| items.py | small inputs, what Python's own modules make of them, pipes over them |

Only the suites import pytest, so that workers can run the faults without it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoopipe.errors import MissingExtraError

if TYPE_CHECKING:
    from zoopipe.testing.adapters import InputConformance, OutputConformance
    from zoopipe.testing.engines import EngineConformance
    from zoopipe.testing.faults import (
        Allocate,
        Exit,
        Faults,
        Gate,
        Journal,
        Kill,
        Log,
        Loop,
        Poison,
        Raise,
        Slow,
        wait_until,
    )
    from zoopipe.testing.items import Item, expected, items_pipe, staged, write_items

_HOMES = {
    "zoopipe.testing.adapters": ("InputConformance", "OutputConformance"),
    "zoopipe.testing.engines": ("EngineConformance",),
    "zoopipe.testing.faults": (
        "Allocate",
        "Exit",
        "Faults",
        "Gate",
        "Journal",
        "Kill",
        "Log",
        "Loop",
        "Poison",
        "Raise",
        "Slow",
        "wait_until",
    ),
    "zoopipe.testing.items": ("Item", "expected", "items_pipe", "staged", "write_items"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Allocate",
    "EngineConformance",
    "Exit",
    "Faults",
    "Gate",
    "InputConformance",
    "Item",
    "Journal",
    "Kill",
    "Log",
    "Loop",
    "OutputConformance",
    "Poison",
    "Raise",
    "Slow",
    "expected",
    "items_pipe",
    "staged",
    "wait_until",
    "write_items",
]

if sys.modules.get("pytest"):
    # Else an assertion of the suite that fails says no more than that it did.
    sys.modules["pytest"].register_assert_rewrite(
        "zoopipe.testing.engines", "zoopipe.testing.adapters"
    )


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'zoopipe.testing' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME_OF[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise MissingExtraError(f"{name} needs pytest: pip install pytest") from error


def __dir__() -> list[str]:
    return list(__all__)
