"""`RayEngine` passes the conformance suite, on a cluster of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray_clusters import RayCluster, ray_cluster

from zoopipe import BaseEngine, RayEngine
from zoopipe.testing import EngineConformance


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(cpus=2) as found:
        yield found


class TestRay(EngineConformance):
    has_cluster = True

    @pytest.fixture
    def engine(self, cluster: RayCluster) -> BaseEngine:
        return RayEngine(cluster.address)

    @pytest.fixture
    def engine_source(self, cluster: RayCluster) -> str:
        return f"from zoopipe import RayEngine\nengine = RayEngine({cluster.address!r})"

    @pytest.fixture
    def engine_without_room(self, cluster: RayCluster) -> BaseEngine:
        return RayEngine(cluster.address, num_cpus=3, start_timeout_s=2)
