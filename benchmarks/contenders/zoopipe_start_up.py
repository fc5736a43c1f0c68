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
    from datetime import date

    from pydantic import BaseModel

    from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe

    class Person(BaseModel):
        id: int
        name: str
        email: str
        age: int
        score: float
        active: bool
        born: date

    pipe = Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=Person,
    )
    pipe.run()


def import_libraries(source: Path, output: Path, errors: Path) -> None:
    """What the names above need of others."""
    import pyarrow.compute  # noqa: F401
    from pydantic import BaseModel  # noqa: F401
