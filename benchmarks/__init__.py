"""Benchmarks on real processes: see docs/performance.md."""
