"""Sequences of inputs: fed, kept when they find something, fed once more."""

import asyncio
import contextlib
import hashlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack

from minicarla.maps import load_town
from robustness.fuzz.harness import Finding, Harness
from robustness.fuzz.mutate import Input, Mutator
from robustness.fuzz.record import CORPUS

SEQUENCE = 500  # inputs from one fresh episode to the next: a finding can be repeated from there
PROBE_EVERY = 100


def read_sequence(path: Path) -> list[Input]:
    """A sequence that `_write` has written."""
    return [Input(*item) for item in msgpack.unpackb(path.read_bytes())]


async def feed_all(harness: Harness, sequence: Sequence[Input]) -> None:
    """A whole sequence, and the question whether the server has survived it; Finding if not."""
    await harness.begin()
    for given in sequence:
        await harness.feed(given)
    await harness.probe()


async def fuzz(harness: Harness, seed: int, count: int, journal: "Journal", part: int = 0, parts: int = 1) -> int:
    """Every `parts`-th of the sequences that `count` inputs make; the number of findings, each kept by `journal`."""
    requests = msgpack.unpackb((CORPUS / "requests.msgpack").read_bytes())
    findings = 0
    for start in range(part * SEQUENCE, count, parts * SEQUENCE):
        mutator = Mutator(requests, hash((seed, start)), harness.actors, harness.streams)
        journal.begin()
        try:
            await harness.begin()
            for number in range(min(SEQUENCE, count - start)):
                given = mutator.next()
                journal.add(given)
                await harness.feed(given)
                if number % PROBE_EVERY == PROBE_EVERY - 1:
                    await harness.probe()
        except Finding as finding:
            findings += 1
            journal.keep(str(finding))
    return findings


class Journal:
    """The inputs since the last fresh episode, in a file that outlives a crash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "journal"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def begin(self) -> None:
        """A fresh episode."""
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)

    def add(self, given: Input) -> None:
        """The next input."""
        os.write(self._file, msgpack.packb([given.channel, given.data]))

    def keep(self, why: str) -> None:
        """Write the inputs to a file of their own."""
        keep(self._path, why)

    def close(self) -> None:
        """Nothing was found that is not kept."""
        os.close(self._file)
        self._path.unlink()
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def keep(journal: Path, why: str) -> None:
    """Turns a journal into a sequence that can be fed again."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(journal.read_bytes())
    data = msgpack.packb(list(unpacker))
    path = journal.parent / f"{hashlib.sha256(data).hexdigest()[:12]}.msgpack"
    path.write_bytes(data)
    print(f"{why}\n  repeat it: python -m robustness.fuzz --replay {path}", flush=True)


def fuzz_memory(seed: int, count: int, folder: Path, part: int, parts: int) -> dict[str, Any]:
    """Inputs through pipes in memory."""

    async def run() -> dict[str, Any]:
        harness, journal = Harness(load_town(), asyncio.get_running_loop()), Journal(folder)
        findings = await fuzz(harness, seed, count, journal, part, parts)
        journal.close()
        return harness.figures() | {"findings": findings}

    return asyncio.run(run())


def in_processes(work: Any, seed: int, count: int, folder: Path, parts: int) -> dict[str, Any]:
    """The worst of the figures of `parts` processes that each do a part of `work`; one that dies is a finding."""
    context = multiprocessing.get_context("spawn")
    running = []
    for part in range(parts):
        ours, theirs = context.Pipe()
        arguments = (theirs, work, seed, count, folder / f"part-{part}", part, parts)
        process = context.Process(target=_child, args=arguments, daemon=True)  # ends with this one
        process.start()
        theirs.close()
        running.append((process, ours, folder / f"part-{part}" / "journal"))
    figures: dict[str, Any] = {"findings": 0}
    for process, connection, journal in running:
        try:
            told = connection.recv()
        except EOFError:
            process.join()
            told = {"findings": 1}
            if journal.is_file():
                keep(journal, f"the server's process ended with {process.exitcode}")
        findings = figures["findings"] + told["findings"]
        figures |= {name: max(value, figures.get(name, value)) for name, value in told.items()}
        figures["findings"] = findings
    with contextlib.suppress(OSError):
        folder.rmdir()
    return figures


def _child(connection: Any, work: Any, *arguments: Any) -> None:
    connection.send(work(*arguments))


async def replay(paths: Sequence[Path]) -> int:
    """Feed sequences once more; 1 if one of them finds something, else 0."""
    harness = Harness(load_town(), asyncio.get_running_loop())
    code = 0
    for path in _files(paths):
        try:
            await feed_all(harness, read_sequence(path))
            print(f"{path}: survived")
        except Finding as finding:
            code = 1
            print(f"{path}: {finding}")
    return code


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.msgpack")) if path.is_dir() else [path]
