"""The engine of Ray clusters: an actor a worker slot."""

from zoopipe_ray.engine import RayEngine

__all__ = ["RayEngine"]
