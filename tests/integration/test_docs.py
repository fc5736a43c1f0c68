"""Every Python example in README.md and docs/ runs, as pasted, in a fresh folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run_examples(page: str, folder: Path) -> None:
    script = folder / "example.py"
    script.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script.name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_page_examples_run_as_pasted(page: str, tmp_path: Path) -> None:
    run_examples(page, tmp_path)


def test_readme_shows_what_its_example_writes(tmp_path: Path) -> None:
    run_examples("README.md", tmp_path)
    accepted, rejected = blocks("README.md", "json")
    assert (tmp_path / "users.jsonl").read_text() == accepted
    assert (tmp_path / "rejected.jsonl").read_text() == rejected


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_page_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []
