"""The engine of Dask clusters: each attempt a future, in a thread of a Dask worker."""

from zoopipe_dask.engine import DaskEngine

__all__ = ["DaskEngine"]
