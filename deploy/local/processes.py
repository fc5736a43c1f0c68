"""The processes of a cluster on this machine: marked when they start, found and stopped by their mark.

The mark is an environment variable with the cluster's folder in it. Whatever a process of the cluster
starts inherits it, so that `stop` misses nothing, and touches nothing else, however many clusters run.
Processes that write a title over their environment, as Ray's do, are known by their session.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import psutil

MARK = "ZOOPIPE_LOCAL_CLUSTER"
LOOPBACK = "127.0.0.1"
#: What a folder has when it was made by `LocalCluster.open`, and may be removed.
_OURS = ".zoopipe-local-cluster"
_SESSIONS = "sessions"
_STOP_S = 8.0


class LocalCluster:
    """A cluster whose logs and temporary files are in one folder, by which it is known.

    Args:
        folder: for Unix sockets to fit in, its path has at most some 40 characters.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def open(self) -> None:
        """Makes the folder, for its owner alone; what an earlier cluster left in it is removed.

        Raises:
            click.ClickException: a cluster runs there, or the folder is not a cluster's.
        """
        if self.processes():
            raise click.ClickException(f"a cluster is running in {self.folder}: stop it first")
        self.remove()
        try:
            self.folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise click.ClickException(f"{self.folder} exists, and is no cluster's") from None
        (self.folder / _OURS).touch()

    def remove(self) -> None:
        """Removes the folder, if a cluster of this user made it."""
        sign = self.folder / _OURS
        if sign.exists() and sign.stat().st_uid == self.folder.stat().st_uid == os.getuid():
            shutil.rmtree(self.folder)

    def spawn(self, name: str, command: Sequence[str], **variables: str) -> None:
        """Starts a Python module or script that goes on when this process ends; its output goes to a log."""
        # Jobs find the interpreter and the commands of the environment that the cluster runs in.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        with (self.folder / f"{name}.log").open("wb") as log:
            self._started[name] = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": path, **variables, MARK: str(self.folder)},
                start_new_session=True,
            )
        with (self.folder / _SESSIONS).open("a") as sessions:
            sessions.write(f"{self._started[name].pid}\n")

    def check(self) -> None:
        """Raises `click.ClickException`, with the end of its log, if a process that was started has ended."""
        for name, process in self._started.items():
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                tail = "\n".join(log.splitlines()[-20:])
                raise click.ClickException(f"{name} ended with {process.returncode}:\n{tail}")

    def wait_until(self, holds: Callable[[], object], timeout_s: float) -> None:
        """Returns as soon as `holds()` is true.

        Raises:
            click.ClickException: it was not within `timeout_s`, or a process ended meanwhile.
        """
        end = time.monotonic() + timeout_s
        while not holds():
            self.check()
            if time.monotonic() > end:
                raise click.ClickException(f"the cluster was not ready after {timeout_s:g} s")
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """All processes of the cluster, but for this one and those that started it."""
        above = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        marked = {each for each in psutil.process_iter() if self._marked(each)}
        leaders = {each.pid for each in marked}
        # A session's number is taken as long as it has members; a leader without the mark is of another.
        sessions = {
            number
            for number in self._sessions()
            if number in leaders or not psutil.pid_exists(number)
        }
        members = {each for each in psutil.process_iter() if _session(each) in sessions}
        return [each for each in marked | members if each.pid not in above]

    def stop(self) -> None:
        """Ends every process: those that no other started are asked, what is left is killed.

        Returns when none is left; safe to call again.
        """
        left = self.processes()
        inner = {child for each in left for child in _children(each)}
        roots = sorted(set(left) - inner, key=psutil.Process.create_time)
        end = time.monotonic() + _STOP_S
        # The first last: a Dask worker whose scheduler is gone looks for it before it ends.
        for asked in (roots[1:], roots[:1]):
            for each in asked:
                _signal(each, signal.SIGTERM)
            psutil.wait_procs(asked, timeout=max(0.0, end - time.monotonic()))
        while left := [each for each in {*left, *self.processes()} if _runs(each)]:
            for each in left:
                _signal(each, signal.SIGKILL)
            psutil.wait_procs(left, timeout=1)

    def _marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == str(self.folder)
        except (psutil.Error, OSError):
            return False

    def _sessions(self) -> list[int]:
        try:
            return [int(line) for line in (self.folder / _SESSIONS).read_text().split()]
        except FileNotFoundError:
            return []


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on, all different."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


#: Starts a cluster's processes and waits for all nodes: (cluster, workers, CPUs of each, seconds) to
#: the environment variables with which it is reached.
Launch = Callable[[LocalCluster, int, int, float], dict[str, str]]


def command_line(kind: str, launch: Launch) -> click.Group:
    """The commands `start` and `stop` of a kind of cluster."""
    folder_option = click.option(
        "--folder",
        type=click.Path(path_type=Path),
        default=Path(tempfile.gettempdir()) / f"zoopipe-{kind}-{os.getuid()}",
        show_default=True,
        help="Logs and temporary files; a cluster is known by it.",
    )

    @click.group(help=f"A {kind} cluster on this machine, on the loopback address only.")
    def main() -> None:
        pass

    @main.command()
    @folder_option
    @click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
    @click.option("--cpus", type=click.IntRange(1), default=1, show_default=True, help="Of each.")
    @click.option("--timeout", "timeout_s", type=float, default=60.0, show_default=True)
    def start(folder: Path, workers: int, cpus: int, timeout_s: float) -> None:
        """Start it, and print how it is reached: eval "$(... start)"."""
        cluster = LocalCluster(folder)
        cluster.open()
        try:
            variables = launch(cluster, workers, cpus, timeout_s)
        except BaseException:
            cluster.stop()
            raise
        click.echo(f"{workers + 1} nodes are up; logs are in {cluster.folder}", err=True)
        for name, value in variables.items():
            click.echo(f"export {name}={shlex.quote(value)}")

    @main.command()
    @folder_option
    def stop(folder: Path) -> None:
        """Stop it, with all its processes, and remove its folder."""
        cluster = LocalCluster(folder)
        count = len(cluster.processes())
        cluster.stop()
        cluster.remove()
        click.echo(f"{count} processes were stopped", err=True)

    return main
