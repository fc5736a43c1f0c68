"""The engine of one machine: each attempt in a process of its own."""

from zoopipe_multiprocess.engine import MultiProcessEngine

__all__ = ["MultiProcessEngine"]
