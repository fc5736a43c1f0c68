"""Showing a run: a live display on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from zoopipe.manager import PipeManager
    from zoopipe.report import PipeReport

logger = logging.getLogger(__name__)

_REFRESH_S = 0.2
_LOG_EVERY_S = 10.0


def follow(manager: PipeManager) -> None:
    """Waits for the end of a run that was started, and shows how it goes, on stderr."""
    if sys.stderr is not None and sys.stderr.isatty():
        _show(manager)
    else:
        _log(manager)


def _log(manager: PipeManager) -> None:
    while not manager.wait(_LOG_EVERY_S):
        report = manager.report
        eta = "" if report.eta_s is None else f", about {report.eta_s:.0f} s left"
        logger.info(
            "%d records read, %d written, %d rejected, %.0f records/s%s",
            report.total_processed,
            report.success_count,
            report.error_count,
            report.items_per_second,
            eta,
        )


def _show(manager: PipeManager) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        bars = [_bar(progress, report) for report in manager.pipe_reports]
        finished = False
        while not finished:
            finished = manager.wait(_REFRESH_S)
            for bar, report in zip(bars, manager.pipe_reports, strict=True):
                _update(progress, bar, report)
            progress.refresh()


def _bar(progress: Progress, report: PipeReport) -> TaskID:
    return progress.add_task(f"pipe {report.pipe_index}", total=report.bytes_total, rows="")


def _update(progress: Progress, bar: TaskID, report: PipeReport) -> None:
    rows = (
        f"{report.total_processed:,} read, {report.error_count:,} rejected, "
        f"{report.items_per_second:,.0f} records/s, {report.ram_bytes / 2**20:,.0f} MiB"
    )
    progress.update(bar, completed=report.bytes_read, rows=rows)
