"""What benchmarks, experiments and robustness share: where a figure was measured, result files, tables, a rival."""
