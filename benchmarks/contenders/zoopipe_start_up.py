"""ZooPipe and the libraries it stands on, imported while the clock runs."""

from pathlib import Path

LIBRARIES = ("zoopipe", "pydantic", "pyarrow")


def import_package(source: Path, output: Path, errors: Path) -> None:
    """The package, no name of it."""
    import zoopipe  # noqa: F401


def import_names(source: Path, output: Path, errors: Path) -> None:
    """The names that a sharded CSV to JSON run needs."""
    from zoopipe import (  # noqa: F401
        CSVInputAdapter,
        JSONOutputAdapter,
        MultiProcessEngine,
        Pipe,
        PipeManager,
    )


def run_once(source: Path, output: Path, errors: Path) -> None:
    """Imports, a model, and a run."""
    from contenders.zoopipe_pipe import validated_copy

    validated_copy(source, output, errors)


def import_libraries(source: Path, output: Path, errors: Path) -> None:
    """What the names above need of others."""
    import pyarrow.compute  # noqa: F401
    from pydantic import BaseModel  # noqa: F401
