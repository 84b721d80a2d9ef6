"""One file a question; each prints a table and, with --json FILE, writes what it saw."""
