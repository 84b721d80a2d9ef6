"""The live page of a run: what happens, as it happens. It shows; it changes nothing."""
