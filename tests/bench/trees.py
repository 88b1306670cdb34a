"""Folders into layers: Sealift's closures beside umoci, buildah, and tar with gzip.

The folders are filled with what the bundle's images hold, so they compress as real images do.
"""

import hashlib
import io
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from common import measured, readable, say, side_by_side, spread, table

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"  # of hashes in store paths


def contents(bundle: Path) -> list[bytes]:
    """The files of all layers of the bundle, each once, larger than nothing."""
    found: dict[bytes, bytes] = {}
    with tarfile.open(bundle) as archive:
        layers = {layer for image in json.load(archive.extractfile("manifest.json")) for layer in image["Layers"]}
        for name in sorted(layers):
            with tarfile.open(fileobj=io.BytesIO(archive.extractfile(name).read())) as layer:
                for member in layer:
                    if member.isfile() and member.size:
                        text = layer.extractfile(member).read()
                        found.setdefault(hashlib.sha256(text).digest(), text)
    return list(found.values())


class Trees:
    def __init__(self, sealift: str, bundle: Path, scratch: Path, runs: int):
        self.sealift, self.runs = sealift, runs
        self.scratch = scratch / "trees"
        self.scratch.mkdir()
        self.log = self.scratch / "log"
        self.root = self.scratch / "nix"  # a store of its own: nothing of the machine's is used
        self.files = contents(bundle)
        self.names = itertools.count()
        self.rows: list[list[str]] = []
        os.environ["NIX_REMOTE"] = str(self.root)

    def run(self, *command: str | Path) -> float:
        return measured([str(word) for word in command], self.log)[0]

    def path(self, files: Iterator[bytes], references: list[dict]) -> dict:
        """A store path with these files, a hundred in each folder, and its entry in the output of `nix path-info`."""
        number, digits = next(self.names), ""
        for _ in range(32):
            number, digit = divmod(number, 32)
            digits += ALPHABET[digit]
        name = f"{digits}-part"
        folder = self.root / "nix/store" / name
        for index, text in enumerate(files):
            place = folder / f"lib/{index // 100:04}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"file{index % 100:02}").write_bytes(text)
        nar_hash = subprocess.check_output(["nix-hash", "--type", "sha256", folder], text=True).strip()
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return {
            "path": f"/nix/store/{name}",
            "narHash": f"sha256:{nar_hash}",
            "narSize": size,
            "references": [reference["path"] for reference in references],
        }

    def some(self, count: int, size: int) -> Iterator[bytes]:
        """`count` files with a given total size, made from the images' files, repeated, cut or joined."""
        stream = itertools.cycle(self.files)
        left, rest = size, b""
        for index in range(count):
            # Files have their own lengths; the rest of the bytes is distributed at the end.
            wanted = max(1, left // (count - index))
            text = rest or next(stream)
            if index == count - 1:
                pieces, missing = [text], left - len(text)
                while missing > 0:
                    pieces.append(next(stream))
                    missing -= len(pieces[-1])
                pieces[-1] = pieces[-1][: len(pieces[-1]) + missing]
                text = b"".join(pieces)
            elif len(text) > 8 * wanted:
                text, rest = text[: 8 * wanted], text[8 * wanted :]
            else:
                rest = b""
            left = max(left - len(text), count - index)
            yield text

    def closure(self, name: str, paths: list[dict]) -> Path:
        file = self.scratch / f"{name}.json"
        file.write_text(json.dumps(paths))
        return file

    def make(self, closure: Path, fresh: bool = True, *more: str) -> tuple[float, int]:
        store = self.scratch / "store"
        if fresh:
            shutil.rmtree(store, ignore_errors=True)
        command = [self.sealift, "closure", closure, "--store", store, "--output", self.scratch / "image.tar", *more]
        return measured([str(word) for word in command], self.log)

    def all(self) -> None:
        say("A: a tree into one layer")
        self.one_layer()
        say("G: ten and a hundred times the files")
        self.growth()
        say("a closure of 1 GB, and one path changed")
        self.changed()
        say("F: memory for a layer of 4 GB")
        self.memory()
        head = ["", "workload", "Sealift, seconds", "peer, seconds", "peer / Sealift", "target"]
        table(f"Folders into layers, {os.cpu_count()} processors, medians of {self.runs} runs", head, self.rows)

    def one_layer(self) -> None:
        tree = self.path(self.some(12_000, 227_000_000), [])
        folder, closure = self.root / tree["path"][1:], self.closure("tree", [tree])
        layout, image = self.scratch / "layout", self.scratch / "image.tar"

        def umoci() -> float:
            shutil.rmtree(layout, ignore_errors=True)
            self.run("umoci", "init", "--layout", layout)
            self.run("umoci", "new", "--image", f"{layout}:tree")
            return self.run("umoci", "insert", "--image", f"{layout}:tree", folder, "/tree")

        def buildah() -> float:
            container = subprocess.check_output(["buildah", "from", "scratch"], text=True).strip()
            seconds = self.run("buildah", "copy", "--quiet", container, folder, "/tree")
            seconds += self.run("buildah", "commit", "--quiet", container, "tree")
            shutil.rmtree(self.scratch / "pushed", ignore_errors=True)
            seconds += self.run("buildah", "push", "--quiet", "tree", f"oci:{self.scratch}/pushed:tree")
            subprocess.run(["buildah", "rm", container], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["buildah", "rmi", "tree"], check=True, stdout=subprocess.DEVNULL)
            return seconds

        ways = {"closure": lambda: self.make(closure, True, "--max-layers", "1")[0], "umoci insert": umoci, "buildah": buildah}
        seconds = side_by_side(self.runs, ways)
        own = seconds.pop("closure")
        largest = max((layout / "blobs/sha256").iterdir(), key=lambda blob: blob.stat().st_size).stat().st_size
        sizes = f"{readable(image.stat().st_size)}, umoci {readable(largest)}"
        for (name, other), target in zip(seconds.items(), ("1.5", "8")):
            ratio = statistics.median(other) / statistics.median(own)
            what = f"227 MB, 12,000 files, into one gzip layer ({sizes})"
            self.rows.append(["A", what, f"closure: {spread(own)}", f"{name}: {spread(other)}", f"{ratio:.2f}", target])

    def growth(self) -> None:
        counts, medians = [120, 1200, 12_000], []
        for count in counts:
            closure = self.closure(f"growth{count}", [self.path(self.some(count, count * 8000), [])])
            medians.append(statistics.median(self.make(closure)[0] for _ in range(self.runs)))
        # Slope of log time over log work between the two larger ones: 1 is linear; the start-up hides in the smallest.
        slope = math.log(medians[2] / medians[1]) / math.log(counts[2] / counts[1])
        times = ", ".join(f"{count} files: {seconds:.2f}" for count, seconds in zip(counts, medians))
        self.rows.append(["G", "files of 8 kB into layers", times, "", f"grows with power {slope:.2f}", "1 at most"])

    def changed(self) -> None:
        paths: list[dict] = []
        for index in range(40):
            # All paths refer to the first ones, as to a C library.
            paths.append(self.path(self.some(1200, 25_000_000), paths[: min(index, 3)]))
        first = self.closure("large", paths)
        tars = self.scratch / "tars"

        def tar_and_gzip() -> float:
            shutil.rmtree(tars, ignore_errors=True)
            tars.mkdir()
            pack = "tar --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner -cf - -C"
            script = "set -e\n" + "\n".join(
                f"{pack} {self.root} .{entry['path']} | gzip -n >{tars}/{index}.tar.gz" for index, entry in enumerate(paths)
            )
            return self.run("bash", "-c", script)

        def changes() -> float:
            other = self.path(self.some(1201, 25_000_000), paths[:3])
            return self.make(self.closure("changed", [*paths[:-1], other]), False)[0]

        peer = "tar, gzip per path"
        seconds = side_by_side(self.runs, {"closure": lambda: self.make(first)[0], peer: tar_and_gzip})
        again = [changes() for _ in range(self.runs)]
        for what, own in (("a closure of 1 GB, 40 paths", seconds["closure"]), ("the same, one path changed", again)):
            ratio = statistics.median(seconds[peer]) / statistics.median(own)
            self.rows.append(["", what, f"closure: {spread(own)}", f"{peer}: {spread(seconds[peer])}", f"{ratio:.2f}", ""])

    def memory(self) -> None:
        """As many files as in a small layer, and a single one. (Each path costs about a kilobyte, however long its file is.)"""
        small = self.make(self.closure("small", [self.path(self.some(12_000, 227_000_000), [])]))[1]
        peaks = []
        for what, count in (("4 GB in as many files", 12_000), ("in one file", 1)):
            closure = self.closure("memory", [path := self.path(self.some(count, 4_000_000_000), [])])
            peak = self.make(closure, True, "--max-layers", "1")[1]
            shutil.rmtree(self.root / path["path"][1:])
            peaks.append(f"{what}: {readable(peak)}")
        self.rows.append(["F", "peak memory of one layer", f"227 MB in 12,000 files: {readable(small)}, {', '.join(peaks)}", "", "", "+10%"])
