"""Machine code of our own on a CPU: from LLVM IR, compiled for the processor at hand, to a function that XLA calls."""
