"""Hosts on one machine: network namespaces, joined by a bridge in one more, with no route out.

Each host has an address of its own, its own loopback and its own ports, and shares the file system
with all others. Nothing of it is in the machine's own network: it can reach no other machine, and two
runs beside each other do not meet.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# Namespaces are named by the process that made them, so that what a killed run left can be told.
_PREFIX = "zoopipe"
_NAME = re.compile(rf"{_PREFIX}-(\d+)-\w+")


def why_not() -> str | None:
    """Why this machine cannot make hosts; None where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command ip: apt-get install iproute2"
    probe = f"{_PREFIX}-{os.getpid()}-probe"
    try:
        with contextlib.closing(_Namespace(probe)) as namespace:
            namespace.run("link", "add", "bridge", "type", "bridge")
            namespace.run("link", "add", "one", "type", "veth", "peer", "name", "other")
    except (NetworkError, OSError) as error:
        return f"this machine makes no network namespaces: {error}"
    return None


# Hosts share files, but no memory; and what processes leave there that were killed is gone with them.
_OWN_MEMORY = 'mount -t tmpfs -o mode=1777 shm /dev/shm && exec "$@"'

# Who refuses has answered.
_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close()
except ConnectionRefusedError:
    pass
except OSError:
    sys.exit(1)
"""


class NetworkError(Exception):
    """A command of iproute2 failed."""


def wait_until(holds: Callable[[], object], limit_s: float, what: str) -> float:
    """Returns as soon as `holds()` is true, with the seconds it took; fails after `limit_s`."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < limit_s, f"{what}: waited {limit_s} s in vain"
        time.sleep(0.02)
    return time.monotonic() - start


class _Namespace:
    """A network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        _ip("netns", "add", name)

    def run(self, *command: str) -> str:
        """Runs a command of `ip` in the namespace."""
        return _ip("-n", self.name, *command)

    def close(self) -> None:
        """Removes the namespace; safe to call twice."""
        with contextlib.suppress(NetworkError):
            _ip("netns", "del", self.name)


@dataclass
class Host:
    """A host of a network.

    Attributes:
        namespace: its network namespace.
        switch: the namespace of the bridge, and `port` the name of this host's end there.
        address: its address.
        folder: where its processes put logs and scratch files.
        started: the processes that were started here, until all are killed.
        was_cut: whether it has been cut off.
    """

    namespace: _Namespace
    switch: _Namespace
    port: str
    address: str
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    was_cut: bool = False

    def start(
        self, command: Sequence[str], log: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a process on this host; what it prints is in `folder/<log>`."""
        with open(self.folder / log, "ab") as file:
            process = subprocess.Popen(
                self.command(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def command(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` on this host; it becomes that process."""
        return ["ip", "netns", "exec", self.namespace.name, "sh", "-c", _OWN_MEMORY, "sh", *command]

    @property
    def network_id(self) -> int:
        """What /proc says of the network of each process here: which host one is on, it can tell."""
        return os.stat(f"/run/netns/{self.namespace.name}").st_ino

    def log(self, name: str, last: int = 30) -> str:
        """The last lines of a log."""
        path = self.folder / name
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-last:])

    def cut(self) -> None:
        """Takes the host off the network; packets are lost, nobody is told."""
        self.was_cut = True
        self.switch.run("link", "set", self.port, "down")

    def heal(self) -> None:
        """Puts the host back; safe to call when it was never cut off."""
        self.switch.run("link", "set", self.port, "up")

    @property
    def is_up(self) -> bool:
        """Whether what was started here still runs."""
        return bool(self.started) and all(process.poll() is None for process in self.started)

    def pids(self) -> list[int]:
        """The processes that run on this host."""
        with contextlib.suppress(NetworkError):
            return [int(pid) for pid in _ip("netns", "pids", self.namespace.name).split()]
        return []

    def reaches(self, other: Host | str, port: int = 9) -> bool:
        """Whether packets come back from another host, or from an address; a closed port answers too."""
        address = other.address if isinstance(other, Host) else other
        command = self.command([sys.executable, "-S", "-c", _CONNECT, address, str(port)])
        return subprocess.run(command, timeout=20, check=False).returncode == 0

    def kill_all(self) -> None:
        """`kill -9` of everything on this host, and waits until nothing is left."""

        def none_left() -> bool:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.pids()

        wait_until(none_left, 20, f"processes of {self.address} to die")
        for process in self.started:
            process.wait(10)
        self.started.clear()


class Network:
    """Hosts that reach one another, and nobody else.

    Args:
        kind: a word that tells this network from others of the process.
        subnet: the third number of its addresses, 10.77.<subnet>.x.
        folder: where hosts get folders; short, for Ray puts sockets there.
    """

    def __init__(self, kind: str, subnet: int, folder: Path) -> None:
        remove_left_over()
        self._name = f"{_PREFIX}-{os.getpid()}-{kind}"
        self._subnet = subnet
        self._folder = folder
        self._switch = _Namespace(self._name)
        self.hosts: list[Host] = []
        self._switch.run("link", "add", "bridge", "type", "bridge")
        self._switch.run("link", "set", "bridge", "up")

    def add_host(self) -> Host:
        """One host more."""
        number = len(self.hosts) + 1
        namespace = _Namespace(f"{self._name}{number}")
        port, address = f"port{number}", f"10.77.{self._subnet}.{number}"
        # The port's other end is the host's card; with either namespace both go.
        card = ("peer", "name", "eth0", "netns", namespace.name)
        self._switch.run("link", "add", port, "type", "veth", *card)
        self._switch.run("link", "set", port, "master", "bridge", "up")
        namespace.run("address", "add", f"{address}/24", "dev", "eth0")
        namespace.run("link", "set", "lo", "up")
        namespace.run("link", "set", "eth0", "up")
        folder = self._folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        host = Host(namespace, self._switch, port, address, folder)
        self.hosts.append(host)
        return host

    def close(self) -> None:
        """Ends every process of every host, and removes the hosts; safe to call twice."""
        for host in self.hosts:
            host.kill_all()
        for host in self.hosts:
            host.namespace.close()
        self._switch.close()
        self.hosts.clear()


def remove_left_over() -> None:
    """Removes the hosts of runs that were killed before they could."""
    for line in _ip("netns", "list").splitlines():
        match = _NAME.fullmatch(line.split()[0])
        if match is None or psutil.pid_exists(int(match[1])):
            continue
        with contextlib.suppress(NetworkError):
            for pid in _ip("netns", "pids", match[0]).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", match[0])


def _ip(*arguments: str) -> str:
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode:
        raise NetworkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
