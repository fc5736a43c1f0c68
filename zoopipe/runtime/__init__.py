"""One run's path: plan → run → commit → report.

| file | what it holds |
|---|---|
| plan.py | pipes become shards and staging folders |
| task.py | one attempt at one shard, on a worker |
| parcel.py | an attempt on its way to a worker: packed there, unpacked and run here |
| progress.py, logs.py | what an attempt shows while it runs, and what its worker logs |
| engine.py | the contract of engines, and their public face |
| retry.py | what is done about lost workers: tries, and the search for a record that ends them |
| shardrun.py | one shard through a run: its tries, its losses, its result |
| piperun.py | one pipe through a run: its shards, their results, their seams |
| supervise.py | the loop that hands out attempts and hears of their ends |
| doctor.py | what each node of a cluster says of itself |
| ledger.py | the check that no record was lost or doubled |
| commit.py | parts merged and published |
| threads.py | work in a thread of its own |
| inline.py | the engine of `Pipe.run()`: a thread of this process |
| registry.py | engines by name |
"""
