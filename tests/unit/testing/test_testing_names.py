"""The public names of `zoopipe.testing`, and what importing them loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import zoopipe.testing


def test_all_is_sorted_complete_and_what_type_checkers_see():
    names = zoopipe.testing.__all__
    assert list(names) == sorted(set(names))
    assert set(zoopipe.testing._HOME_OF) == set(names) == set(dir(zoopipe.testing))
    block = Path(zoopipe.testing.__file__).read_text().split("if TYPE_CHECKING:")[1]
    seen = block.split("_HOMES")[0].replace(",", " ").split()
    assert set(names) <= set(seen)


@pytest.mark.parametrize("name", zoopipe.testing.__all__)
def test_name_is_importable(name):
    assert getattr(zoopipe.testing, name).__name__ == name


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = zoopipe.testing.NoSuchName


def test_faults_and_items_load_no_pytest():
    names = [name for name in zoopipe.testing.__all__ if "Conformance" not in name]
    script = (
        f"from zoopipe.testing import {', '.join(names)}\n"
        "import json, sys; print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"pytest", "_pytest", "ray", "dask"} & set(json.loads(done.stdout))


def test_suite_says_what_to_install_where_there_is_no_pytest():
    script = (
        "import sys; sys.modules['pytest'] = None\n"
        "try:\n    from zoopipe.testing import EngineConformance\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "EngineConformance needs pytest: pip install pytest\n"
