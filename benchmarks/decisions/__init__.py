"""Is the checkpoint that is chosen the right one? The parts of `benchmarks.bench_decisions`."""
