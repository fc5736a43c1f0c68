"""One run's path: plan → run → commit → report.

| file | what it holds |
|---|---|
| plan.py | pipes become shards and staging folders |
| task.py | one attempt at one shard, on a worker |
| progress.py | the counters an attempt shows while it runs |
| engine.py | the contract of engines, and their public face |
| piperun.py | one pipe through a run: its shards, their results, their seams |
| supervise.py | the loop that hands out attempts and hears of their ends |
| ledger.py | the check that no record was lost or doubled |
| commit.py | parts merged and published |
| inline.py | the engine of `Pipe.run()`: a thread of this process |
| registry.py | engines by name |
"""
