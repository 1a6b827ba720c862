# SPDX-License-Identifier: GPL-2.0
"""Debian's packages through apt: those the machine needs, and inputs from other suites.

Inputs come through a private apt state in the cache, one for each suite. Its site is
the one that the machine's own apt is set up for; that set-up is only read. apt checks
every file against the suite's signed index.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from . import cache, proc
from .term import DiskFull, Problem, Progress, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = ("experimental", "unstable", "testing", "stable", "oldstable", "oldstable-backports")


def available() -> bool:
    return shutil.which("apt-get") is not None and shutil.which("dpkg-query") is not None


def _as_root() -> list[str]:
    """What to put before a command that needs root."""
    if os.geteuid() == 0:
        return []
    return ["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]


def command(packages: list[str]) -> str:
    """What installs packages, for people to read or to type."""
    return shlex.join([*_as_root()[:1], "apt-get", "install", "--no-install-recommends", *packages])


def install(packages: list[str], log: Path) -> None:
    """Install packages as root or through sudo."""
    prefix = _as_root()
    if prefix and not shutil.which("sudo"):
        raise Problem("packages are missing, and there is no sudo; as root: apt-get install"
                      f" {' '.join(packages)}")
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y",
           "-o", "APT::Update::Error-Mode=any", "-o", "DPkg::Lock::Timeout=600"]
    before = ""
    try:
        proc.run([*apt, "update"], log, "apt-get update", terminal=bool(prefix))
    except DiskFull:
        raise
    except Problem as err:
        # It may be about a site that these packages do not come from
        before = f"{err}; then "
    try:
        proc.run([*apt, "install", "--no-install-recommends", *packages], log, "apt-get install",
                 terminal=bool(prefix))
    except DiskFull:
        raise
    except Problem as err:
        raise Problem(f"{before}{err}") from None


def _sites() -> list[str]:
    """Debian sites in the machine's own apt configuration."""
    if not available():
        return []
    line = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    sites = []
    for target in proc.output(["apt-get", "indextargets", "--format", line], "apt").splitlines():
        origin, label, uri = target.split("|", 2)
        if origin == "Debian" and label == "Debian" and uri not in sites:
            sites.append(uri)
    return sites


def _suite(site: str, suite: str, kind: str, arch: str) -> list[str]:
    """apt options for a private state of one suite, with fresh lists; [] if it has none."""
    name = "-".join((re.sub(r"\W+", "_", site), suite, kind, arch))
    state = cache.root() / "apt" / name
    for part in ("state/lists/partial", "cache/archives/partial", "etc"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    source = f"{kind} [signed-by={KEYRING}] {site} {suite} main\n"
    (state / "etc/sources.list").write_text(source)
    options = {
        "Dir::State": state / "state",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::SourceList": state / "etc/sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Sandbox::User": "",
        # An index that has expired is signed all the same, and versions are chosen by BASE.
        "Acquire::Check-Valid-Until": "false",
        # A list that broke off is no list, rather than the one of last time.
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": "20",
        "Acquire::Retries": "2",
    }
    args = [arg for key, value in options.items() for arg in ("-o", f"{key}={value}")]
    log = state / "log"
    try:
        proc.run(["apt-get", "-q", *args, "update"], log, f"apt-get update ({suite})")
    except DiskFull:
        raise
    except Problem as err:
        say(f"Debian {suite} is no use: {err}")
        return []
    return args


def _host_arch() -> str:
    return proc.output(["dpkg", "--print-architecture"], "dpkg").strip()


def _versions(args: list[str], package: str, kind: str) -> list[str]:
    command = "showsrc" if kind == "deb-src" else "show"
    try:
        shown = proc.output(["apt-cache", *args, command, package], "apt-cache")
    except Problem:
        return []
    # Newest first, as apt-cache show has them; showsrc has no order of its own.
    return re.findall(r"^Version: (\S+)", shown, re.M)


def _percent(line: str) -> str | None:
    """Progress from a line of apt's status: dlstatus:NUMBER:PERCENT:TEXT"""
    parts = line.split(":")
    return f"{float(parts[2]):.0f} %" if parts[0] == "dlstatus" and len(parts) > 3 else None


def _download(
    args: list[str], package: str, version: str, suite: str, into: Path, kind: str
) -> Path:
    progress = Progress(f"Fetching {package} {version} from Debian {suite}")
    get = ["download"] if kind == "deb" else ["source", "--download-only", "--tar-only"]
    # Nothing is in it of a run that was killed: apt says nothing of a file that it has already
    place = into / "fetched"
    cache.discard(place)
    place.mkdir(parents=True)
    proc.run(
        ["apt-get", "-q", *args, "-o", "APT::Status-Fd=1", *get, f"{package}={version}"],
        into / "log",
        f"fetching {package} {version}",
        cwd=place,
        progress=progress,
        state=_percent,
    )
    progress.done()
    found = [path for path in place.iterdir() if path.suffix in (".deb", ".xz", ".gz")]
    if len(found) != 1:
        raise Problem(f"apt fetched no archive of {package} {version}, see {into / 'log'}")
    archive = found[0].rename(into / found[0].name)
    shutil.rmtree(place)
    return archive


# A private state is for one command at a time, as the machine's own is: apt does not wait.
_state = cache.lock("apt")


@_state
def fetch(
    package: str,
    wanted: re.Pattern[str],
    into: Path,
    kind: str = "deb",
    arch: str | None = None,
    suites: tuple[str, ...] = SUITES,
) -> Path | None:
    """The .deb (or, kind deb-src, the upstream archive) of the first version that is wanted."""
    if kind == "deb" and not KEYRING.exists():
        return None
    for site in _sites():
        for suite in suites:
            args = _suite(site, suite, kind, arch or _host_arch())
            if not args:
                continue
            version = next((v for v in _versions(args, package, kind) if wanted.match(v)), None)
            if version is None:
                continue
            return _download(args, package, version, suite, into, kind)
    return None


def _depends(args: list[str], package: str) -> list[str]:
    """The packages that a package depends on, the first one of alternatives."""
    shown = proc.output(["apt-cache", *args, "show", "--no-all-versions", package], "apt-cache")
    found = re.search(r"^Depends: (.*)$", shown, re.M)
    return [re.split(r"[ (:|]", item.strip())[0] for item in found[1].split(",")] if found else []


def _needed(path: Path, readelf: str) -> list[str]:
    """The libraries that a program or a library names, the dynamic linker among them."""
    text = proc.output([readelf, "-W", "-d", "-l", path], readelf)
    loader = re.findall(r"program interpreter: .*/([^]]+)\]", text)
    return loader + re.findall(r"\(NEEDED\).*\[(.*)\]", text)


@_state
def fetch_program(
    package: str, program: str, into: Path, arch: str, suites: tuple[str, ...], readelf: str
) -> dict[str, Path] | None:
    """The program of a package, and the libraries that it takes to run: name -> file."""
    for args, suite in ((_suite(site, suite, "deb", arch), suite)
                        for site in _sites() for suite in suites):
        if args and _versions(args, package, "deb"):
            break
    else:
        return None

    def unpack(name: str) -> None:
        """Each package has a directory of its own; those that do not exist are virtual."""
        versions = _versions(args, name, "deb")
        directory = into / name
        directory.mkdir(parents=True)
        if versions:
            deb = _download(args, name, versions[0], suite, into, "deb")
            proc.run(["dpkg-deb", "-x", deb, directory], into / "log", f"unpacking {name}")
            deb.unlink()

    def find(name: str) -> Path | None:
        return next((path for path in sorted(into.rglob(name)) if path.exists()), None)

    unpack(package)
    files = {program: into / package / program}
    todo = [program]
    while todo:
        path = files[todo.pop()]
        owner = path.relative_to(into).parts[0]
        for name in _needed(path, readelf):
            if name in files:
                continue
            # The package that is likely to have it first: most of the others are not needed
            stem = re.split(r"[-.\d]*\.so", name)[0].lower()
            found = find(name)
            for other in sorted(_depends(args, owner), key=lambda dep: not dep.startswith(stem)):
                if found:
                    break
                if not (into / other).exists():
                    unpack(other)
                    found = find(name)
            if not found:
                raise Problem(f"{name}, which {path.name} needs, is in no package that Debian's"
                              f" {owner} depends on")
            files[name] = found
            todo.append(name)
    return files
