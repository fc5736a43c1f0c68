"""The sample job on the nodes of a Slurm cluster: `python slurm.py --nodes 2 --cpus 8`, on a login node.

dask-jobqueue submits a batch job for each node; this process is the scheduler and the driver. What goes
between them is encrypted, with certificates made for this run: the nodes are other people's as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from dask_jobqueue import SLURMCluster

from zoopipe import DaskEngine, PipeManager

# The job is beside this folder; workers get it by value.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("zoopipe-job"))
@click.option("--nodes", default=2, show_default=True)
@click.option("--cpus", default=8, show_default=True, help="Of each node.")
@click.option("--memory", default="16GB", show_default=True, help="Of each node.")
@click.option("--walltime", default="01:00:00", show_default=True)
@click.option("--partition", help="By default Slurm's own.")
@click.option("--interface", help="The network that nodes and this machine share, like ib0.")
@click.option("--wait", "wait_s", default=3600.0, show_default=True, help="For a node, in seconds.")
def main(
    folder: Path,
    nodes: int,
    cpus: int,
    memory: str,
    walltime: str,
    partition: str | None,
    interface: str | None,
    wait_s: float,
) -> None:
    """Run the sample job on Slurm nodes, with input and outputs in a folder that all nodes share."""
    from job import pipe

    with SLURMCluster(
        cores=cpus,
        processes=cpus,
        memory=memory,
        walltime=walltime,
        queue=partition,
        interface=interface,
        security=True,
        # Where certificates are left for the nodes, and the logs of their jobs.
        shared_temp_directory=str(folder),
        log_directory=str(folder / "logs"),
        # Fast storage of the node itself; the home folder is often on the network.
        local_directory="/tmp",
    ) as cluster:
        cluster.scale(jobs=nodes)
        # Several shards for each process, so that a slow or lost node costs little.
        shards = 4 * nodes * cpus
        engine = DaskEngine(client=cluster, start_timeout_s=wait_s)
        report = PipeManager.parallelize_pipe(
            pipe(folder), workers=nodes * cpus, shards=shards, engine=engine
        ).run()
    click.echo(str(report))


if __name__ == "__main__":
    main()
