"""`DaskEngine` passes the conformance suite, on a cluster that goes on from test to test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dask_clusters import DaskCluster, dask_cluster

from zoopipe import BaseEngine, DaskEngine
from zoopipe.testing import EngineConformance


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


class TestDask(EngineConformance):
    has_cluster = True

    @pytest.fixture
    def engine(self, cluster: DaskCluster) -> BaseEngine:
        return DaskEngine(cluster.address)

    @pytest.fixture
    def engine_source(self, cluster: DaskCluster) -> str:
        return f"from zoopipe import DaskEngine\nengine = DaskEngine({cluster.address!r})"

    @pytest.fixture
    def engine_without_room(self, cluster: DaskCluster) -> BaseEngine:
        return DaskEngine(cluster.address, resources={"GPU": 1}, start_timeout_s=1.0)
