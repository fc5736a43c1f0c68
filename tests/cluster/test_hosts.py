"""The hosts of these tests are real to each other, and to Ray and Dask."""

from __future__ import annotations

import socket

from cluster.clusters import Cluster
from cluster.network import wait_until


def test_tasks_see_the_address_of_their_own_host_when_each_worker_runs_one(
    cluster: Cluster,
) -> None:
    addresses = [host.address for host in cluster.workers]
    assert cluster.ask("visit") == {address: address for address in addresses}
    assert len({cluster.head.address, *addresses}) == 3


def test_hosts_reach_one_another_and_nothing_else_when_they_are_not_cut_off(
    cluster: Cluster,
) -> None:
    one, other = cluster.workers
    # This machine's own network, which the hosts are not part of.
    with socket.create_server(("0.0.0.0", 0)) as outside:
        assert one.reaches(cluster.head)
        assert not one.reaches(_address_outside(), outside.getsockname()[1])
    one.cut()
    wait_until(lambda: not one.reaches(cluster.head), 10, "the cut")
    assert other.reaches(cluster.head)
    one.heal()
    wait_until(lambda: one.reaches(cluster.head), 10, "the healing")


def test_cluster_gives_a_host_up_within_seconds_when_it_is_killed_or_cut_off(
    cluster: Cluster,
) -> None:
    one, other = cluster.workers
    one.kill_all()
    cluster.wait_for([other], 10)
    cluster.restore()
    one.cut()
    cluster.wait_for([other], 20)
    cluster.restore()
    assert set(cluster.ask("visit")) == {one.address, other.address}


def _address_outside() -> str:
    """An address of this machine, outside of all namespaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
