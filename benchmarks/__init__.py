"""Benchmarks: cases, contenders, and one command that measures them: `python -m benchmarks`."""
