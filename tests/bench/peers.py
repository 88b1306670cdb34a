"""Sealift beside the tools that do the same today, in one run on one machine.

Every pair is measured in turns; the table shows medians and their ratio, and what the project has set itself.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

from common import ROOT, artifacts, measured, say, side_by_side, spread, table

PACKAGES = {"umoci": "umoci", "buildah": "buildah", "mmdebstrap": "mmdebstrap", "nix-hash": "nix-bin", "runc": "runc"}
IMAGE = "parsec-server"


def install() -> bool:
    """Installs missing tools, as root."""
    lacking = sorted(package for program, package in PACKAGES.items() if not shutil.which(program))
    if lacking and os.geteuid() != 0:
        say(f"the comparison is left out: it needs {', '.join(lacking)}, and root to install them")
        return False
    if lacking:
        say(f"installing {', '.join(lacking)}")
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking], **quiet)
    if os.geteuid() != 0:
        say("the comparison is left out: buildah and mmdebstrap need root to work as fast as they can")
        return False
    return True


class Peers:
    """`store` has all artifacts of the profile, and all layers built from them."""

    def __init__(self, sealift: str, profile: str, store: Path, scratch: Path, runs: int):
        self.sealift, self.profile, self.full, self.runs = sealift, profile, store, runs
        self.scratch = scratch / "peers"
        self.scratch.mkdir()
        self.log = self.scratch / "log"
        self.rows: list[list[str]] = []
        os.environ["BUILDAH_ISOLATION"] = "chroot"
        # A separate storage: the machine's is neither used nor changed.
        conf = self.scratch / "storage.conf"
        driver = "overlay" if self.storage("overlay", conf) else "vfs"
        self.storage(driver, conf)

    def storage(self, driver: str, conf: Path) -> bool:
        places = f'graphroot = "{self.scratch}/{driver}"\nrunroot = "{self.scratch}/run"\n'
        conf.write_text(f'[storage]\ndriver = "{driver}"\n{places}')
        os.environ["CONTAINERS_STORAGE_CONF"] = str(conf)
        return subprocess.run(["buildah", "images"], capture_output=True, check=False).returncode == 0

    def run(self, *command: str | Path) -> float:
        return measured([str(word) for word in command], self.log)[0]

    def output(self, *command: str | Path) -> str:
        return subprocess.check_output([str(word) for word in command], text=True, stdin=subprocess.DEVNULL).strip()

    def add(self, letter: str, what: str, seconds: dict[str, list[float]], target: str) -> None:
        """Adds a row: the first way is Sealift's, the second the other tool's."""
        (ours, own), (peer, other) = seconds.items()
        ratio = statistics.median(other) / statistics.median(own)
        self.rows.append([letter, what, f"{ours}: {spread(own)}", f"{peer}: {spread(other)}", f"{ratio:.2f}", target])

    def all(self) -> None:
        lock = tomllib.loads((ROOT / "profiles" / self.profile / "sealift.lock").read_text())
        self.lock = lock["platforms"]["linux/amd64"]
        say("B: an image from packages and wheels")
        self.assembled()
        say("C: nothing changed")
        self.unchanged()
        say("D: one value changed")
        self.one_value()
        head = ["", "workload", "Sealift, seconds", "peer, seconds", "peer / Sealift", "target"]
        table(f"Beside its peers, {os.cpu_count()} processors, medians of {self.runs} runs", head, self.rows)

    # --- B ------------------------------------------------------------------------------------------------------------

    def artifact(self, entry: dict) -> Path:
        return self.full / "artifacts/sha256" / entry["sha256"].removeprefix("sha256:")

    def local_copy(self) -> tuple[Path, list[str]]:
        """A Debian archive of the image's packages as `dpkg-scanpackages` would describe it, without dependencies: the
        lock has chosen, and left some out."""
        names = self.lock["images"][IMAGE]["packages"]
        archive = self.scratch / "archive"
        archive.mkdir()
        stanzas = []
        for entry in self.lock["package"]:
            if entry["name"] not in names:
                continue
            deb = archive / Path(entry["path"]).name
            shutil.copy(self.artifact(entry), deb)
            fields = ("Package", "Version", "Architecture", "Multi-Arch", "Maintainer", "Description")
            stanza = self.output("dpkg-deb", "-f", deb, *fields)
            digest = hashlib.sha256(deb.read_bytes()).hexdigest()
            stanzas.append(f"{stanza}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
        (archive / "Packages").write_text("\n".join(stanzas))
        return archive, names

    def wheels(self) -> tuple[Path, Path]:
        folder = self.scratch / "wheels"
        folder.mkdir()
        names = self.lock["images"][IMAGE]["wheels"]
        wanted = []
        for entry in self.lock["wheel"]:
            file = Path(entry["path"]).name
            if file in names or entry["name"] in names:
                shutil.copy(self.artifact(entry), folder / file)
                wanted.append(f"{entry['name']}=={entry['version']}")
        requirements = self.scratch / "requirements.txt"
        requirements.write_text("\n".join(wanted) + "\n")
        return folder, requirements

    def root_by_peers(self, archive: Path, names: list[str], wheels: Path, requirements: Path) -> float:
        root = self.scratch / "root"
        subprocess.run(["rm", "-rf", root], check=True)
        extract = ["--variant=extract", "--mode=root", "--format=directory", f"--include={','.join(names)}"]
        source = f"deb [trusted=yes] copy:{archive} ./"
        seconds = self.run("mmdebstrap", *extract, "--skip=check/empty", "sealift", root, source)
        uv = os.environ.get("SEALIFT_UV") or shutil.which("uv") or "uv"
        python = ["--python-version", "3.14", "--python-platform", "x86_64-manylinux_2_40"]
        where = ["--target", root / "opt/parsec/lib/python3.14/site-packages", "--link-mode", "copy"]
        offline = ["--offline", "--no-index", "--no-deps", "--no-cache", "--find-links", wheels]
        return seconds + self.run(uv, "pip", "install", "--quiet", *python, *where, *offline, "-r", requirements)

    def assembled(self) -> None:
        archive, names = self.local_copy()
        wheels, requirements = self.wheels()
        store, image = self.scratch / "store", self.scratch / "image"
        fragments = self.scratch / "kept"

        # The peers compile no bytecode.
        plain = self.scratch / "plain" / self.profile
        shutil.copytree(ROOT / "profiles" / self.profile, plain)
        text = (plain / "profile.toml").read_text()
        mark = f"[images.{IMAGE}.venv]\n"
        (plain / "profile.toml").write_text(text.replace(mark, f"{mark}bytecode = false\n", 1))

        def ours(profile: str | Path, kept: bool) -> float:
            artifacts(self.full, store)
            # Bytecode is compiled once per wheel and interpreter; no layer is there, and no listing of one.
            if kept:
                subprocess.run(["cp", "-a", fragments, store / "derived"], check=True)
            subprocess.run(["rm", "-rf", image], check=True)
            make = ["image", profile, IMAGE, "--offline", "--store", store, "--output", image]
            return self.run(self.sealift, *make)

        def other() -> float:
            subprocess.run(["buildah", "rmi", "--all", "--force"], capture_output=True, check=False)
            seconds = self.root_by_peers(archive, names, wheels, requirements)
            container = self.output("buildah", "from", "scratch")
            seconds += self.run("buildah", "copy", "--quiet", container, self.scratch / "root", "/")
            seconds += self.run("buildah", "commit", "--quiet", container, "peer")
            shutil.rmtree(self.scratch / "peer", ignore_errors=True)
            seconds += self.run("buildah", "push", "--quiet", "peer", f"oci:{self.scratch}/peer:latest")
            self.run("buildah", "rm", container)
            return seconds

        first = ours(self.profile, False)
        subprocess.run(["cp", "-a", store / "derived", fragments], check=True)
        peer = "mmdebstrap, uv, buildah"
        ways = {"image": lambda: ours(plain, False), peer: other, "bytecode": lambda: ours(self.profile, True)}
        seconds = side_by_side(self.runs, ways)
        own, other_only = {"image": seconds["image"]}, {peer: seconds[peer]}
        self.add("B", f"{IMAGE} from packages and wheels, nothing of it made before", own | other_only, "6")
        more = {"image": seconds["bytecode"]}
        self.add("", "the same with bytecode, which the store has; the peer without", more | other_only, "")
        self.add("", "the same with bytecode, compiled; the peer without", {"image": [first]} | other_only, "")

    # --- C and D ------------------------------------------------------------------------------------------------------

    def unchanged(self) -> None:
        bundle, copy = self.scratch / "bundle.tar", self.scratch / "copy.tar"
        build = [self.sealift, "build", self.profile, "--locked", "--offline", "--store", self.full, "--output", bundle]
        self.run(*build)

        def new(file: Path, *command: str | Path) -> float:
            """Both write a new file: removing the old one costs either of them a third more."""
            file.unlink(missing_ok=True)
            return self.run(*command)

        ways = {"build": lambda: new(bundle, *build), "cp": lambda: new(copy, "cp", bundle, copy)}
        seconds = side_by_side(self.runs, ways)
        own, copying = (statistics.median(times) for times in seconds.values())
        self.add("C", "the bundle again, nothing changed", seconds, f"below {1.3 * copying + 0.1:.3f} s: {own:.3f} s")

    def one_value(self) -> None:
        profile, context = self.scratch / "profiles" / self.profile, self.scratch / "context"
        shutil.copytree(ROOT / "profiles" / self.profile, profile)
        context.mkdir()
        (self.scratch / "root").rename(context / "root")
        image, number = self.scratch / "image", [0]
        text = (profile / "profile.toml").read_text()
        mark = 'PYTHONUNBUFFERED = "1" }'

        def ours() -> float:
            number[0] += 1
            (profile / "profile.toml").write_text(text.replace(mark, f'PYTHONUNBUFFERED = "1", N = "{number[0]}" }}', 1))
            shutil.rmtree(image, ignore_errors=True)
            make = ["image", profile, IMAGE, "--offline", "--store", self.full, "--output", image]
            return self.run(self.sealift, *make)

        def other() -> float:
            number[0] += 1
            (context / "Containerfile").write_text(f"FROM scratch\nCOPY root /\nENV N={number[0]}\n")
            seconds = self.run("buildah", "bud", "--quiet", "--layers", "--tag", "changed", context)
            shutil.rmtree(self.scratch / "peer", ignore_errors=True)
            return seconds + self.run("buildah", "push", "--quiet", "changed", f"oci:{self.scratch}/peer:latest")

        if mark not in text:
            sys.exit("bench: the profile has no environment to change")
        ours(), other()
        seconds = side_by_side(self.runs, {"image": ours, "buildah bud --layers, push": other})
        self.add("D", "one environment variable changed", seconds, "10")
