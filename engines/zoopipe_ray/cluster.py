"""Joining a Ray cluster and leaving it: once a process, however many engines use it, and quietly."""

from __future__ import annotations

import gc
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoopipe.errors import EngineError, MissingExtraError

logger = logging.getLogger(__name__)

# What a Ray started here may hold in shared memory: pipes, and nothing else, are put there.
_OBJECT_STORE_BYTES = 128 * 1024**2
# By which Ray is told to stay on loopback addresses; the name is older than the use.
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_ACCESS = "RAY_AUTH_MODE"

_MOST_CHARACTERS = 300

_lock = threading.Lock()
_users = 0
_undo: ExitStack | None = None
_is_broken = False


def join(
    address: str | None, namespace: str | None, runtime_env: dict[str, Any] | None, limit_s: float
) -> bool:
    """Connects this process to a cluster, or shares the connection that it has.

    Args:
        address: as `RayEngine` takes it.
        namespace, runtime_env: of the connection, where it is made here.
        limit_s: how long a cluster may take to answer.

    Returns:
        Whether the connection was made here, so that `runtime_env` holds for all of it.

    Raises:
        EngineError: there is no such cluster, it refuses us, or it has other versions.
    """
    global _users, _undo
    if address is None:
        address = os.environ.get("RAY_ADDRESS") or "local"
        is_asked = False
    else:
        is_asked = address not in ("auto", "local")
    if address.startswith("ray://") and find_spec("grpc") is None:
        raise MissingExtraError(f"{address} needs Ray's client: pip install 'ray[client]'")
    with _lock:
        _refuse_after_fork()
        probe = None if address == "local" or _is_connected() else _Probe(address, limit_s)
        import ray

        if ray.is_initialized():
            if is_asked:
                _check_same(address)
            _users += 1
            return False
        is_loopback = True if probe is None else probe.wait()
        _read_access()
        undo = ExitStack()
        try:
            undo.enter_context(_hushed())
            undo.callback(_restore_access, os.environ.get(_ACCESS))
            with _plain(is_loopback):
                _init(address, namespace, runtime_env)
            undo.callback(ray.shutdown)
        except BaseException:
            undo.close()
            raise
        _undo, _users = undo, 1
        return True


def leave() -> None:
    """Gives up what `join` gave; the last to leave disconnects, where the connection is ours.

    Effect: a Ray that was started for this process is gone.
    """
    global _users, _undo
    with _lock:
        _users -= 1
        if _users == 0 and _undo is not None:
            undo, _undo = _undo, None
            # Ray ends the process where what refers to its objects is freed while it disconnects, by
            # whichever thread collects garbage.
            gc.collect()
            undo.close()


def _is_connected() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _init(address: str, namespace: str | None, runtime_env: dict[str, Any] | None) -> None:
    import ray

    options: dict[str, Any] = {"namespace": namespace, "runtime_env": runtime_env}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, **options)
    except (Exception, SystemExit) as error:
        raise EngineError(_why_not(address, error)) from error


def _why_not(address: str, error: BaseException) -> str:
    """What a failed `ray.init` means, and what to do."""
    from ray import exceptions

    said = f"{error} {error.__cause__ or ''}"
    where = "a local Ray" if address == "local" else f"the Ray cluster at {address}"
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return f"the runtime_env cannot be set up at {where}: {shortened(said)}"
    if "ersion mismatch" in said or "ersions differ" in said:
        return f"{where} has other versions of Ray or Python: {' '.join(said.split())}"
    if is_refusal(said):
        return _refused(where)
    if "find any running raylet" in said or "expects this IP address" in said:
        return (
            f"{where} has no node on this machine: run the driver on a node of the cluster, or join "
            "with ray://<head>:10001"
        )
    if address == "local":
        return f"{where} cannot be started: {shortened(said)}"
    return f"{where} cannot be joined: {shortened(said)}"


def is_refusal(said: str) -> bool:
    """Whether Ray's words mean that a token is missing or wrong."""
    return any(word in said for word in ("nauthenticated", "AuthToken", "authentication token"))


def _refused(where: str) -> str:
    return (
        f"{where} refuses this driver: it needs the cluster's token: RAY_AUTH_MODE=token, and the token "
        "in RAY_AUTH_TOKEN, or in the file that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token"
    )


def shortened(said: str) -> str:
    """What Ray says in one line, not too long."""
    line = " ".join(said.split()) or "no reason is given"
    return line if len(line) <= _MOST_CHARACTERS else line[:_MOST_CHARACTERS] + "…"


class _Probe:
    """Another process that asks whether a cluster answers, while this one imports Ray."""

    def __init__(self, address: str, limit_s: float) -> None:
        self._address = address
        self._limit_s = limit_s
        self._end = time.monotonic() + limit_s
        script = Path(__file__).with_name("probe.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), address],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name="zoopipe-probe", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None, "it is a pipe"
        with self._process.stdout as said:
            for line in said:
                self._said.put(line)
        self._said.put(None)

    def wait(self) -> bool:
        """Whether the cluster is to be joined by loopback addresses.

        Raises:
            EngineError: no cluster answers, or it refuses us.
        """
        lines: list[str] = []
        try:
            while (line := self._next()) is not None:
                lines.append(line)
                if is_refusal(line):
                    raise EngineError(_refused(f"the Ray cluster at {self._address}"))
                if "Failed to connect to GCS" in line:
                    raise EngineError(self._absent("no Ray head listens there"))
            if self._process.wait() != 0:
                raise EngineError(self._absent(shortened(lines[-1] if lines else "")))
            return any(line.strip() == "loopback" for line in lines)
        finally:
            self._process.kill()
            self._process.wait()
            self._listener.join()

    def _next(self) -> str | None:
        try:
            return self._said.get(timeout=max(self._end - time.monotonic(), 0.0))
        except queue.Empty:
            raise EngineError(
                self._absent(f"it did not answer within {self._limit_s:g} s")
            ) from None

    def _absent(self, why: str) -> str:
        if self._address == "auto":
            return f"no Ray cluster was found on this machine: give its address ({why})"
        return f"there is no Ray cluster at {self._address}: {why}; check host and port"


def _check_same(address: str) -> None:
    """Refuses another cluster than the one that this process is connected to.

    Raises:
        EngineError: both addresses are named.
    """
    import ray

    if (client := _client_address()) is not None:
        ours = f"ray://{client}"
        is_same = address == ours
    else:
        ours = str(ray.get_runtime_context().gcs_address)
        from ray._private import services

        is_same = address == ours or (
            "://" not in address and services.canonicalize_bootstrap_address(address) == ours
        )
    if not is_same:
        raise EngineError(
            f"this process is connected to the Ray cluster at {ours}, not to {address}: call "
            "ray.shutdown() first, or leave the address out"
        )


def _client_address() -> str | None:
    """The server of the client connection that this process has, if that is what it has."""
    if "ray.util.client" not in sys.modules:
        return None
    client = import_module("ray.util.client").ray
    return str(client.get_context().client_worker._conn_str) if client.is_connected() else None


def _refuse_after_fork() -> None:
    if _is_broken:
        raise EngineError(
            "this process was forked from one that uses Ray, and cannot use Ray itself: start it with "
            "the method 'spawn' or 'forkserver', or fork before Ray is used"
        )


def _forget_connection() -> None:
    """What a forked process has of its parent's connection is of no use."""
    global _users, _undo, _lock, _is_broken
    _users, _undo, _lock, _is_broken = 0, None, threading.Lock(), _is_connected()


os.register_at_fork(after_in_child=_forget_connection)


@contextmanager
def _hushed() -> Iterator[None]:
    """While it is open, Ray's logger says nothing: what matters reaches the caller as errors."""
    ours = logging.getLogger("ray")
    level, handlers = ours.level, ours.handlers[:]
    ours.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.handlers[:] = handlers


@contextmanager
def _plain(is_loopback: bool) -> Iterator[None]:
    """While it is open, Ray connects without what it does unasked: print, ship the folder that `uv run`
    is called in and install its packages; and, on request, listen to other machines."""
    from ray._private import ray_constants, worker

    ours = logging.getLogger("ray")
    handlers = ours.handlers[:]
    with ExitStack() as undo:
        undo.callback(lambda: ours.handlers.__setitem__(slice(None), handlers))
        _set(undo, worker, "listen_error_messages", _listen_to_nothing)
        _set(undo, ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", False)
        if is_loopback:
            _set(undo, ray_constants, "ENABLE_RAY_CLUSTER", False)
            undo.callback(_put_back(_LOOPBACK, os.environ.get(_LOOPBACK)))
            os.environ[_LOOPBACK] = "0"
        yield


def _set(undo: ExitStack, module: Any, name: str, value: object) -> None:
    if hasattr(module, name):
        undo.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, value)


def _restore_access(mode: str | None) -> None:
    """Undoes that a Ray started here asks for a token: the next cluster may have none."""
    _put_back(_ACCESS, mode)()
    _read_access()


def _read_access() -> None:
    """Has Ray read anew from the environment whether there is a token, and which."""
    try:
        from ray._raylet import AuthenticationTokenLoader, Config
    except ImportError:
        # A Ray from before there were tokens.
        return
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _listen_to_nothing(*_: object) -> None:
    """In the place of Ray's thread that prints what its daemons say to stdout."""


def _put_back(name: str, value: str | None) -> Callable[[], None]:
    def put() -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    return put
