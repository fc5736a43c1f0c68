"""The public face of the package: what is importable, and what an import loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import zoopipe

# Every name that the issue gives to users.
PROMISED = [
    "Pipe",
    "PipeManager",
    "CSVInputAdapter",
    "CSVOutputAdapter",
    "JSONInputAdapter",
    "JSONOutputAdapter",
    "MultiProcessEngine",
    "DaskEngine",
    "SingleThreadExecutor",
    "MultiThreadExecutor",
    "BaseHook",
    "ColumnHook",
    "PipeReport",
    "FlowReport",
    "PipeStatus",
]


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh process has loaded after a statement."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_all_is_sorted_and_without_doubles():
    assert list(zoopipe.__all__) == sorted(set(zoopipe.__all__))


@pytest.mark.parametrize("name", [*zoopipe.__all__, *PROMISED])
def test_name_is_importable_and_listed(name):
    assert name in zoopipe.__all__
    assert name in dir(zoopipe)
    assert getattr(zoopipe, name).__name__.isidentifier() if name != "HookStore" else True


def test_all_is_complete_when_compared_with_the_lazy_names():
    assert set(zoopipe._HOME_OF) == set(zoopipe.__all__)


def test_all_is_complete_when_compared_with_what_type_checkers_see():
    source = Path(zoopipe.__file__).read_text()
    block = source.split("if TYPE_CHECKING:", 1)[1].split("__version__", 1)[0]
    seen = {name for name in zoopipe.__all__ if name in block.replace(",", " ").split()}
    assert seen | {name for name in zoopipe.__all__ if f"({name})" in block} == set(zoopipe.__all__)


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = zoopipe.NoSuchName


def test_import_zoopipe_loads_no_heavy_library():
    loaded = modules_after("import zoopipe")
    assert not loaded & {"pyarrow", "pydantic", "numpy", "pandas", "ray", "dask", "multiprocessing"}


def test_core_imports_no_engine_of_a_cluster():
    loaded = modules_after("from zoopipe import *")
    assert {"pyarrow", "zoopipe.manager"} <= loaded
    assert not loaded & {"ray", "dask", "distributed", "pandas"}


def test_package_ships_its_types():
    assert (Path(zoopipe.__file__).parent / "py.typed").exists()
