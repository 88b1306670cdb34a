"""Shared by the benchmarks: running, measuring, and tables in Markdown."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def readable(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def measured(command: list[str], log: Path, directory: Path | None = None) -> tuple[float, int]:
    """Runs a command; returns wall-clock seconds and the peak resident memory (bytes) of it and its child processes."""
    with log.open("ab") as output, tempfile.NamedTemporaryFile() as result:
        child = [sys.executable, str(Path(__file__).with_name("child.py")), result.name]
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        subprocess.run([*child, *command], **streams, cwd=directory, check=True)
        code, seconds, memory = json.load(result)
    if code != 0:
        sys.exit(f"{log.read_text()}\nbench: failed ({code}): {' '.join(command)}")
    return seconds, memory


def side_by_side(runs: int, ways: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Seconds of each way, measured in turns, so that other load on the machine affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            seconds[name].append(way())
    return seconds


def spread(seconds: list[float]) -> str:
    """The median, and the fastest and slowest run."""
    middle = f"{statistics.median(seconds):.2f}"
    return f"{middle} ({min(seconds):.2f} to {max(seconds):.2f})" if len(seconds) > 1 else middle


def artifacts(full: Path, store: Path) -> None:
    """Creates the store `store` with the artifacts of another one, and without its layers."""
    subprocess.run(["rm", "-rf", store], check=True)
    store.mkdir(parents=True)
    subprocess.run(["cp", "-a", "--reflink=auto", full / "artifacts", store / "artifacts"], check=True)
