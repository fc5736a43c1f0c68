"""Faults on real hosts: whatever is lost, what is published is what one process would have made.

Each fault comes at a known moment: an attempt is held in the middle of its shard, and the driver's live
report has said where it runs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from cluster.clusters import Cluster
from cluster.jobs import OUTPUTS, Job, OneProcess, Sighting, digests, is_running
from cluster.network import wait_until

StartJob = Callable[..., Job]

# The shard that is held; it is among the first that are handed out.
_SHARD = 1
_FIRST = (_SHARD, 1)


def check_published(job: Job, one_process: OneProcess, lost: int) -> None:
    """The job is complete, its bytes are those of one process, and nothing of it is left."""
    report = job.finish()
    assert (report["status"], report["error"]) == ("completed", None), job.story()
    assert report["lost"] == lost, job.story()
    assert digests(job.folder) == one_process.digests, job.story()
    assert job.staged() == []
    job.wait_until_free()


def check_ran_again(job: Job, first: Sighting) -> None:
    """The shard was run again, where the first attempt was not."""
    (second,) = job.begun(_SHARD, 2)
    assert second.host is not first.host, job.story()


def test_output_is_that_of_one_process_when_two_hosts_share_the_shards(
    start_job: StartJob, one_process: OneProcess, cluster: Cluster
) -> None:
    job = start_job(held=[(0, 1), _FIRST])
    first = job.held_at(_SHARD)
    other = job.held_at(0)
    assert first.host is not other.host
    job.open_gate()
    check_published(job, one_process, lost=0)
    assert job.hosts_used() == {host.address for host in cluster.workers}


def test_shard_is_run_again_when_its_worker_process_is_killed(
    start_job: StartJob, one_process: OneProcess
) -> None:
    job = start_job(held=[_FIRST])
    first = job.held_at(_SHARD)
    os.kill(first.pid, signal.SIGKILL)
    check_published(job, one_process, lost=1)
    assert len(job.begun(_SHARD, 2)) == 1, job.story()


def test_shard_is_run_again_when_everything_on_its_host_is_killed(
    start_job: StartJob, one_process: OneProcess
) -> None:
    job = start_job(held=[_FIRST])
    first = job.held_at(_SHARD)
    first.host.kill_all()
    check_published(job, one_process, lost=1)
    check_ran_again(job, first)


def test_nothing_is_lost_when_a_host_is_cut_off_for_a_moment(
    start_job: StartJob, one_process: OneProcess, cluster: Cluster
) -> None:
    job = start_job(held=[_FIRST])
    first = job.held_at(_SHARD)
    first.host.cut()
    wait_until(lambda: not cluster.head.reaches(first.host), 5, "the cut is felt")
    first.host.heal()
    wait_until(lambda: cluster.head.reaches(first.host), 5, "the healing is felt")
    job.open_gate()
    check_published(job, one_process, lost=0)
    assert job.begun(_SHARD, 2) == []


def test_shard_is_run_once_more_when_its_host_is_back_before_the_second_try(
    start_job: StartJob, one_process: OneProcess
) -> None:
    # Long enough for the first attempt, let go, to end or to be ended before the second begins.
    job = start_job(held=[_FIRST], backoff_s=5.0)
    first = job.held_at(_SHARD)
    first.host.cut()
    job.wait_until(lambda: job.report["lost"] == 1, "the loss is noticed")
    first.host.heal()
    job.open_gate()
    assert job.begun(_SHARD, 2) == [], "the second try has not begun"
    wait_until(lambda: is_over(job, first), 20, "the first attempt is over")
    check_published(job, one_process, lost=1)
    assert len(job.begun(_SHARD, 2)) == 1, job.story()


def test_published_bytes_stay_when_a_cut_off_worker_ends_after_the_run(
    start_job: StartJob, one_process: OneProcess, cluster: Cluster
) -> None:
    job = start_job(held=[_FIRST])
    first = job.held_at(_SHARD)
    first.host.cut()
    report = job.finish()
    assert (report["status"], report["lost"]) == ("completed", 1), job.story()
    check_ran_again(job, first)
    published = digests(job.folder)
    assert published == one_process.digests
    assert is_running(first.pid), "a zombie it has to be"
    # Still cut off, it goes on to its end, on storage that it shares with the driver.
    job.open_gate()
    wait_until(lambda: is_over(job, first), 20, "the zombie is over")
    assert digests(job.folder) == published
    assert job.staged() == []
    first.host.heal()
    cluster.restore()
    check_published(job, one_process, lost=1)


def test_no_try_is_spent_when_a_host_was_cut_off_before_the_job_began(
    start_job: StartJob, one_process: OneProcess, cluster: Cluster
) -> None:
    there, cut_off = cluster.workers
    cut_off.cut()
    # The cluster has not noticed: what is sent there never begins.
    job = start_job(held=[], max_attempts=1)
    check_published(job, one_process, lost=0)
    assert job.hosts_used() == {there.address}


def test_job_goes_on_when_every_host_was_killed_and_one_is_back(
    start_job: StartJob, one_process: OneProcess, cluster: Cluster
) -> None:
    job = start_job(held=[(0, 1), _FIRST])
    first = job.held_at(_SHARD)
    other = job.held_at(0)
    first.host.kill_all()
    other.host.kill_all()
    job.wait_until(lambda: job.report["lost"] == 2, "both losses are noticed")
    cluster.start_worker(other.host)
    check_published(job, one_process, lost=2)
    assert job.begun(0, 2)[0].host is job.begun(_SHARD, 2)[0].host is other.host


def test_worker_gets_shards_when_it_joins_late(
    start_job: StartJob, one_process: OneProcess, cluster: Cluster
) -> None:
    early, late = cluster.workers
    late.kill_all()
    cluster.wait_for([early])
    job = start_job(held=[(0, 1)])
    first = job.held_at(0)
    assert first.host is early
    cluster.start_worker(late)
    # The early worker's only CPU is taken: whoever does all other shards is the late one.
    job.wait_until(lambda: job.report["shards_done"] == job.shards - 1, "the others are done")
    job.open_gate()
    check_published(job, one_process, lost=0)
    ran = {seen.shard: seen.host.address for seen in job.sightings()}
    assert ran == {0: early.address, **dict.fromkeys(range(1, job.shards), late.address)}


def test_cluster_is_free_and_nothing_is_published_when_the_driver_is_killed(
    start_job: StartJob,
) -> None:
    job = start_job(held=[_FIRST])
    first = job.held_at(_SHARD)
    job.driver.kill()
    job.wait_until_free()
    job.open_gate()
    wait_until(lambda: is_over(job, first), 20, "the attempt is over")
    assert [name for name in OUTPUTS if (job.folder / name).exists()] == []


def is_over(job: Job, seen: Sighting) -> bool:
    """Whether an attempt has come to its end, or its process has."""
    ended = {(s.shard, s.attempt, s.pid) for s in job.sightings("ended")}
    return (seen.shard, seen.attempt, seen.pid) in ended or not is_running(seen.pid)
