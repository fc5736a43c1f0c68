"""Draws the results of the main cases: `python -m benchmarks.chart`, a process of its own.

Writes `results/chart.svg` and `results/chart.png`, from the JSON files there; the same files give
the same bytes, with the same version of matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import RESULTS

# A case, a text of its contest's title, and how the chart names it; the first such contest counts.
PANELS = (
    ("validated_copy", "0% bad", "Seven typed fields"),
    ("validated_copy", "1% bad", "Seven typed fields, 1 % bad rows"),
    ("rich_model", "1% bad", "Twenty fields, 1 % bad rows"),
    ("one_field_validator", "1% bad", "A field validator in Python"),
    ("heavy_hook", "rows", "A Python function for each row, no model"),
)
# No row is moved by it, so that it is no bar among those that move them.
_LEFT_OUT = ("the function alone",)
_OURS, _OTHERS, _TEXT, _QUIET = "#0b7a75", "#c9d1d6", "#1f2933", "#66737f"
_BAR_INCHES, _TITLE_INCHES, _GAP_INCHES, _HEAD_INCHES = 0.26, 0.3, 0.35, 0.85
_MARGIN_INCHES, _COLUMN_INCHES, _NAMES_INCHES, _VALUES_INCHES = 0.3, 5.4, 1.85, 0.75
_LONGEST_INCHES = _COLUMN_INCHES - _NAMES_INCHES - _VALUES_INCHES - _GAP_INCHES
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": _TEXT,
    "svg.hashsalt": "zoopipe",
    "svg.fonttype": "path",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the chart: one contest.

    Attributes:
        title: what was done.
        rows: how many rows the input had.
        bars: contenders and their rows a second, the fastest first.
    """

    title: str
    rows: int
    bars: tuple[tuple[str, float], ...]


def main() -> None:
    """Reads the results, draws them twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--rows", type=int, help="results of so many rows; else of the most")
    options = parser.parse_args()
    panels = read_panels(options.results, options.rows)
    if not panels:
        parser.error("no such results: python -m benchmarks writes them")
    for path in draw(panels, options.results):
        print(path.name)


def read_panels(folder: Path, rows: int | None = None) -> list[Panel]:
    """The panels there are results for: of `rows` rows, or of the most that a case has."""
    panels = []
    for case, part, title in PANELS:
        documents = [
            json.loads(path.read_bytes()) for path in folder.glob(f"{case}-{rows or '*'}.json")
        ]
        if not documents:
            continue
        contests = max(documents, key=lambda document: document["rows"])["contests"]
        contest = next((found for found in contests if part in found["title"]), None)
        if contest is not None:
            panels.append(Panel(title, contest["rows"], _bars(contest)))
    return panels


def draw(panels: Sequence[Panel], folder: Path) -> list[Path]:
    """Writes the chart as SVG and as PNG; gives their paths."""
    columns = _columns(panels)
    inches = _HEAD_INCHES + max(sum(map(_height, column)) for column in columns)
    width = _MARGIN_INCHES + len(columns) * _COLUMN_INCHES
    paths = [folder / "chart.svg", folder / "chart.png"]
    with plt.rc_context(_STYLE):
        figure = plt.figure(figsize=(width, inches))
        _write_head(figure, inches, _MARGIN_INCHES / width)
        for at, column in enumerate(columns):
            left = _MARGIN_INCHES + at * _COLUMN_INCHES
            top = inches - _HEAD_INCHES
            for panel in column:
                bars = len(panel.bars) * _BAR_INCHES
                box = (left + _NAMES_INCHES, top - _TITLE_INCHES - bars, _LONGEST_INCHES, bars)
                axes = figure.add_axes(
                    (box[0] / width, box[1] / inches, box[2] / width, bars / inches)
                )
                _draw_panel(axes, panel)
                top -= _height(panel)
        figure.savefig(paths[0], metadata={"Date": None, "Creator": None})
        figure.savefig(paths[1], dpi=160, metadata={"Software": None})
        plt.close(figure)
    return paths


def _columns(panels: Sequence[Panel]) -> list[list[Panel]]:
    """One column of panels, or two of about the same height, in their order."""
    heights = [_height(panel) for panel in panels]
    if len(panels) < 3:
        return [[panel] for panel in panels]
    cut = min(range(1, len(panels)), key=lambda at: max(sum(heights[:at]), sum(heights[at:])))
    return [list(panels[:cut]), list(panels[cut:])]


def _height(panel: Panel) -> float:
    return _TITLE_INCHES + len(panel.bars) * _BAR_INCHES + _GAP_INCHES


def _write_head(figure: Figure, inches: float, left: float) -> None:
    title = "CSV to JSON Lines: rows a second on one core"
    figure.text(left, 1 - 0.36 / inches, title, fontsize=15, weight="bold")
    below = (
        "Each in a fresh process, taking turns. benchmarks/README.md says what each does not do."
    )
    figure.text(left, 1 - 0.59 / inches, below, color=_QUIET)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    speeds = [speed for _, speed in panel.bars]
    for place, (name, speed) in enumerate(panel.bars):
        is_ours = name.startswith("zoopipe")
        axes.barh(place, speed, height=0.74, color=_OURS if is_ours else _OTHERS)
        style = {"weight": "bold", "color": _OURS} if is_ours else {"color": _TEXT}
        label = "ZooPipe" + name.removeprefix("zoopipe") if is_ours else name
        beside = {"textcoords": "offset points", "va": "center", **style}
        axes.annotate(label, (0, place), (-6, 0), ha="right", **beside)
        axes.annotate(f"{speed:,.0f}", (speed, place), (5, 0), **beside)
    # The title stands above the names, the number of rows beside it.
    names = -_NAMES_INCHES * 72
    at_top = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(panel.title, (0, 1), (names, 7), **at_top, fontsize=11, weight="bold")
    rows = f"{panel.rows:,} rows"
    end = _VALUES_INCHES * 72
    axes.annotate(rows, (1, 1), (end, 7), **at_top, ha="right", color=_QUIET)
    axes.set_xlim(0, max(speeds))
    axes.set_ylim(len(panel.bars) - 0.5, -0.5)
    axes.set_axis_off()


def _bars(contest: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    entries = [entry for entry in contest["entries"] if entry["label"] not in _LEFT_OUT]
    bars = ((entry["label"], entry["rows_per_s"]) for entry in entries)
    return tuple(sorted(bars, key=lambda bar: -bar[1]))


if __name__ == "__main__":
    main()
