"""ZooPipe: rows from a source to a sink, checked with pydantic, at the speed of Arrow columns.

Every public name is importable from here, and loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoopipe.adapters.arrow import ArrowInputAdapter, ArrowOutputAdapter
    from zoopipe.adapters.base import InputAdapter, OutputAdapter
    from zoopipe.adapters.csv import CSVInputAdapter, CSVOutputAdapter
    from zoopipe.adapters.duckdb import DuckDBInputAdapter, DuckDBOutputAdapter
    from zoopipe.adapters.excel import ExcelInputAdapter, ExcelOutputAdapter
    from zoopipe.adapters.formats import Format, adapter_for
    from zoopipe.adapters.frames import FrameInputAdapter, FrameOutputAdapter
    from zoopipe.adapters.json import JSONInputAdapter, JSONOutputAdapter
    from zoopipe.adapters.parquet import ParquetInputAdapter, ParquetOutputAdapter
    from zoopipe.adapters.python import PyGeneratorInputAdapter, PyGeneratorOutputAdapter
    from zoopipe.adapters.sql import SQLInputAdapter, SQLOutputAdapter
    from zoopipe.errors import (
        DeclarationError,
        EngineError,
        HookError,
        InputError,
        LedgerError,
        MissingExtraError,
        OutputError,
        ResumeError,
        RunFailed,
        RunStopped,
        WorkerLostError,
        ZooPipeError,
    )
    from zoopipe.executors import BaseExecutor, MultiThreadExecutor, SingleThreadExecutor
    from zoopipe.hooks import (
        BaseHook,
        ColumnHook,
        EntryStatus,
        EntryTypedDict,
        FunctionHook,
        HookPriority,
        HookStore,
    )
    from zoopipe.ledger import Ledger, PipeLedger, ShardEntry
    from zoopipe.manager import PipeManager
    from zoopipe.pipe import Pipe
    from zoopipe.report import FlowReport, PipeReport, PipeStatus, WorkerReport, get_logger
    from zoopipe.runtime.engine import BaseEngine
    from zoopipe.runtime.retry import RetryPolicy
    from zoopipe_dask import DaskEngine
    from zoopipe_multiprocess import MultiProcessEngine
    from zoopipe_ray import RayEngine

__version__ = "0.1.0"

_HOMES = {
    "zoopipe.adapters.arrow": ("ArrowInputAdapter", "ArrowOutputAdapter"),
    "zoopipe.adapters.base": ("InputAdapter", "OutputAdapter"),
    "zoopipe.adapters.csv": ("CSVInputAdapter", "CSVOutputAdapter"),
    "zoopipe.adapters.duckdb": ("DuckDBInputAdapter", "DuckDBOutputAdapter"),
    "zoopipe.adapters.formats": ("Format", "adapter_for"),
    "zoopipe.adapters.excel": ("ExcelInputAdapter", "ExcelOutputAdapter"),
    "zoopipe.adapters.frames": ("FrameInputAdapter", "FrameOutputAdapter"),
    "zoopipe.adapters.json": ("JSONInputAdapter", "JSONOutputAdapter"),
    "zoopipe.adapters.parquet": ("ParquetInputAdapter", "ParquetOutputAdapter"),
    "zoopipe.adapters.python": ("PyGeneratorInputAdapter", "PyGeneratorOutputAdapter"),
    "zoopipe.adapters.sql": ("SQLInputAdapter", "SQLOutputAdapter"),
    "zoopipe.errors": (
        "DeclarationError",
        "EngineError",
        "HookError",
        "InputError",
        "LedgerError",
        "MissingExtraError",
        "OutputError",
        "ResumeError",
        "RunFailed",
        "RunStopped",
        "WorkerLostError",
        "ZooPipeError",
    ),
    "zoopipe.executors": ("BaseExecutor", "MultiThreadExecutor", "SingleThreadExecutor"),
    "zoopipe.hooks": (
        "BaseHook",
        "ColumnHook",
        "EntryStatus",
        "EntryTypedDict",
        "FunctionHook",
        "HookPriority",
        "HookStore",
    ),
    "zoopipe.ledger": ("Ledger", "PipeLedger", "ShardEntry"),
    "zoopipe.manager": ("PipeManager",),
    "zoopipe.pipe": ("Pipe",),
    "zoopipe.report": ("FlowReport", "PipeReport", "PipeStatus", "WorkerReport", "get_logger"),
    "zoopipe.runtime.engine": ("BaseEngine",),
    "zoopipe.runtime.retry": ("RetryPolicy",),
    "zoopipe_dask": ("DaskEngine",),
    "zoopipe_multiprocess": ("MultiProcessEngine",),
    "zoopipe_ray": ("RayEngine",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ArrowInputAdapter",
    "ArrowOutputAdapter",
    "BaseEngine",
    "BaseExecutor",
    "BaseHook",
    "CSVInputAdapter",
    "CSVOutputAdapter",
    "ColumnHook",
    "DaskEngine",
    "DeclarationError",
    "DuckDBInputAdapter",
    "DuckDBOutputAdapter",
    "EngineError",
    "EntryStatus",
    "EntryTypedDict",
    "ExcelInputAdapter",
    "ExcelOutputAdapter",
    "FlowReport",
    "Format",
    "FrameInputAdapter",
    "FrameOutputAdapter",
    "FunctionHook",
    "HookError",
    "HookPriority",
    "HookStore",
    "InputAdapter",
    "InputError",
    "JSONInputAdapter",
    "JSONOutputAdapter",
    "Ledger",
    "LedgerError",
    "MissingExtraError",
    "MultiProcessEngine",
    "MultiThreadExecutor",
    "OutputAdapter",
    "OutputError",
    "ParquetInputAdapter",
    "ParquetOutputAdapter",
    "Pipe",
    "PipeLedger",
    "PipeManager",
    "PipeReport",
    "PipeStatus",
    "PyGeneratorInputAdapter",
    "PyGeneratorOutputAdapter",
    "RayEngine",
    "ResumeError",
    "RetryPolicy",
    "RunFailed",
    "RunStopped",
    "SQLInputAdapter",
    "SQLOutputAdapter",
    "ShardEntry",
    "SingleThreadExecutor",
    "WorkerLostError",
    "WorkerReport",
    "ZooPipeError",
    "adapter_for",
    "get_logger",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'zoopipe' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
