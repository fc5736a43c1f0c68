"""What Ray's errors mean for an attempt: the one place where they are read."""

from __future__ import annotations

from ray import exceptions

from zoopipe.errors import EngineError
from zoopipe.runtime.engine import End, Lost, Raised
from zoopipe_ray.cluster import is_refusal, shortened

_NO_MEMORY = ("running low on memory", "out of memory", "OutOfMemory")
_NO_NODE = ("node has died", "node was terminated", "node died", "Node is dead", "raylet died")


def end_of(error: BaseException, worker: str, has_begun: bool) -> End:
    """How an attempt ended whose actor answered with an error of Ray's.

    Args:
        error: what its call raised.
        worker: how messages name it.
        has_begun: whether it had begun to work.
    """
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return Raised(EngineError(f"the runtime_env cannot be set up: {shortened(str(error))}"))
    if isinstance(error, exceptions.RayActorError) and error.actor_init_failed:
        return Raised(EngineError(f"no worker can be started: {_cause(error)}"))
    if isinstance(error, exceptions.RayTaskError):
        return Raised(EngineError(f"{worker} failed outside of the pipe: {_cause(error)}"))
    if isinstance(error, exceptions.ActorUnschedulableError | exceptions.TaskUnschedulableError):
        return Raised(EngineError(f"no node can have such a worker: {shortened(str(error))}"))
    if isinstance(error, exceptions.AuthenticationError):
        return Raised(EngineError(f"the cluster refuses this driver: {shortened(str(error))}"))
    return Lost(f"{worker} {_death(error)}", has_begun)


def _death(error: BaseException) -> str:
    said = str(error)
    if isinstance(error, exceptions.OutOfMemoryError) or any(word in said for word in _NO_MEMORY):
        return "was killed because its node ran out of memory"
    if isinstance(error, exceptions.NodeDiedError) or any(word in said for word in _NO_NODE):
        return "is gone with its node"
    if isinstance(error, exceptions.ActorUnavailableError):
        return "cannot be reached any more"
    if "ray.kill" in said:
        return "was killed with ray.kill"
    if "Worker unexpectedly exits" in said or isinstance(error, exceptions.WorkerCrashedError):
        # The raylet, whose child it was, does not hand the signal on.
        return "was killed or crashed (SIGKILL, the system's out-of-memory killer or a segfault)"
    if "exit code" in said or "INTENDED" in said:
        return f"ended before its shard was done: {_detail(said)}"
    return f"was lost: {_detail(said)}"


def _detail(said: str) -> str:
    _, mark, detail = said.partition("Worker exit detail:")
    # Before that, Ray lists names and identities.
    return shortened(detail if mark else said.rstrip().rpartition("\n")[2])


def _cause(error: BaseException) -> str:
    """The last line of a remote traceback: the error's type and sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(lines[-1] if lines else "")


def sentence(error: BaseException) -> str:
    """Why a node gave no answer."""
    if isinstance(error, exceptions.GetTimeoutError):
        return "it did not answer in time"
    if is_refusal(str(error)):
        return "it refuses this driver"
    if isinstance(error, exceptions.RayTaskError):
        return _cause(error)
    return shortened(str(error))
