"""The image, the shell scripts and the READMEs of `deploy/`."""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

FOLDERS = ("docker", "local", "ray", "dask")


def linter(name: str) -> str:
    """The path of a linter that a package has put beside this Python."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip(f"{name}: pip install 'zoopipe[deploy]'")
    return found


def test_dockerfile_has_no_findings_when_hadolint_reads_it(deploy: Path, call: Any) -> None:
    hadolint = linter("hadolint")
    found = call(hadolint, deploy / "docker/Dockerfile")
    assert (found.returncode, found.stdout) == (0, "")


def test_dockerfile_has_findings_when_it_is_careless(tmp_path: Path, call: Any) -> None:
    hadolint = linter("hadolint")
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python\nRUN sudo pip install ray\n")
    found = call(hadolint, careless)
    assert found.returncode == 1
    assert {"DL3004", "DL3006"} <= set(re.findall(r"DL\d+", found.stdout))


def test_image_is_not_root_s_when_it_runs(deploy: Path) -> None:
    stages = (deploy / "docker/Dockerfile").read_text().split("\nFROM ")
    assert re.findall(r"^USER (.+)$", stages[-1], re.MULTILINE) == ["1000"]


def test_wheel_is_whole_when_made_of_what_the_dockerfile_copies(
    deploy: Path, call: Any, tmp_path: Path
) -> None:
    pytest.importorskip("hatchling", reason="pip install 'zoopipe[deploy]'")
    root, source = deploy.parent, tmp_path / "source"
    for path in copied(deploy):
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (root / path).is_dir():
            shutil.copytree(root / path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / path, target)
    made = call(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"),
        *("--wheel-dir", tmp_path, source),
    )
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for engine in project["entry-points"]["zoopipe.engines"].values():
        assert f"{engine.split(':')[0]}/__init__.py" in names
    for path in (root / "zoopipe").rglob("*.py"):
        assert str(path.relative_to(root)) in names


def test_docker_sends_what_the_dockerfile_copies_and_nothing_else_when_it_builds(
    deploy: Path,
) -> None:
    lines = (deploy / "docker/Dockerfile.dockerignore").read_text().splitlines()
    assert [line for line in lines if not line.startswith(("#", "!"))] == ["*", "**/__pycache__"]
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied(deploy))


def copied(deploy: Path) -> list[str]:
    """The paths that the Dockerfile copies from the repository."""
    text = (deploy / "docker/Dockerfile").read_text()
    lines = re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
    return [path for line in lines for path in line.split()[:-1]]


def test_scripts_have_no_findings_when_shellcheck_reads_them(deploy: Path, call: Any) -> None:
    scripts = sorted(deploy.rglob("*.sh"))
    assert len(scripts) == 2
    assert all(script.stat().st_mode & 0o111 for script in scripts)
    found = call(linter("shellcheck"), *scripts)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("folder", FOLDERS)
def test_readme_is_a_page_and_names_every_file_when_it_is_read(folder: str, deploy: Path) -> None:
    text = (deploy / folder / "README.md").read_text()
    assert len(text.splitlines()) <= 60
    names = {path.name for path in (deploy / folder).iterdir() if path.is_file()}
    assert [name for name in sorted(names - {"README.md"}) if name not in text] == []
