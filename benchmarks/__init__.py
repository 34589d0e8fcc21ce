"""Benchmarks: each script measures one claim and stores it in `results`."""
