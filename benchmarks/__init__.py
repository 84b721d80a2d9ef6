"""One file a question; each prints a table and, with --json FILE, writes what it saw."""

import envloop  # noqa: F401 (before a benchmark imports carla, which wants what this sets)
