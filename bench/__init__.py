"""Benchmarks, run by `denali-py bench`."""
