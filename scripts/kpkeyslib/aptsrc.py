# SPDX-License-Identifier: GPL-2.0
"""Debian's packages through apt: those the machine needs, and inputs from other suites.

Inputs come through private apt states in the cache: one for each suite that is asked for
by name, one for all others. Their sites are those that the machine's own apt is set up
for; that set-up is only read. apt checks every file against the suite's signed index.
Suites move on by the day, so that a package is looked for in all that may have it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from . import cache, proc
from .term import DiskFull, Problem, Progress, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TRUST = f"signed-by={KEYRING}"
# Debian's names for its releases; they are late on some sites, so that the code names that
# they stand for are looked at as well
_RELEASES = ("testing", "stable", "oldstable")
_ROLLING = ("unstable", "experimental")
# What apt says of a site that does not answer, and of a file that a list names and no site has
_AWAY = re.compile(r"could not (connect|resolve)|unable to connect|connection (failed|refused)"
                   r"|timed out|resolving|unreachable", re.I)
_GONE = re.compile(r"\b404\b|File not found|does not have a Release file")

# What of apt's output says what it is at, such as waiting for another apt to end
_STEP = re.compile(r"Get:|Unpacking|Setting up|Waiting")


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
    progress = Progress("Installing packages")
    options = {"terminal": bool(prefix), "progress": progress,
               "state": lambda line: line.strip() if _STEP.match(line) else None}
    before = ""
    try:
        proc.run([*apt, "update"], log, "apt-get update", **options)
    except DiskFull:
        raise
    except Problem as err:
        # It may be about a site that these packages do not come from
        before = f"{err}; then "
    try:
        proc.run([*apt, "install", "--no-install-recommends", *packages], log, "apt-get install",
                 **options)
    except DiskFull:
        raise
    except Problem as err:
        raise Problem(f"{before}{err}") from None
    progress.done()


def _sites() -> list[tuple[str, str]]:
    """Debian sites in the machine's own apt configuration: address and label."""
    if not available() or not KEYRING.exists():
        return []
    line = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    sites = []
    for target in proc.output(["apt-get", "indextargets", "--format", line], "apt").splitlines():
        origin, label, uri = target.split("|", 2)
        if origin == "Debian" and (uri, label) not in sites:
            sites.append((uri, label))
    return sites


Suites = tuple[tuple[str, str], ...]  # site and suite


@functools.lru_cache(maxsize=None)  # lists are fresh enough for a whole command
def _lists(state: Path, suites: Suites, kind: str, arch: str, options: str = "") -> tuple[
        list[str], str]:
    """apt options for a private state of suites, with the lists that can be had; what went wrong.

    A suite that its site does not have is nothing wrong.
    """
    # A list that cannot be had is no list, rather than the one of last time
    cache.discard(state)
    for part in ("state/lists/partial", "cache/archives/partial", "etc"):
        (state / part).mkdir(parents=True)
    (state / "status").touch()
    (state / "etc/sources.list").write_text("".join(
        f"{kind} [{TRUST}{options}] {site} {suite} main\n" for site, suite in suites))
    settings = {
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
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": "20",
        "Acquire::Retries": "2",
    }
    args = [arg for key, value in settings.items() for arg in ("-o", f"{key}={value}")]
    log = state / "log"
    try:
        proc.run(["apt-get", "-q", *args, "update"], log, "apt-get update")
    except DiskFull:
        raise
    except Problem:
        pass  # of a suite that is not there, or below
    wrong = [line for line in log.read_text(errors="replace").splitlines()
             if line.startswith(("E: ", "W: ")) and not _GONE.search(line)]
    return args, wrong[0] if wrong else ""


def _state_of(name: str, kind: str, arch: str) -> Path:
    return cache.root() / "apt" / "-".join((re.sub(r"\W+", "_", name), kind, arch))


def _codenames(site: str, kind: str, arch: str) -> dict[str, str]:
    """What the names of Debian's releases stand for: stable -> trixie."""
    suites = tuple((site, suite) for suite in (*_RELEASES, *_ROLLING))
    state = _state_of(f"{site}-releases", kind, arch)
    _lists(state, suites, kind, arch, " target=none")
    found = {}
    for path in (state / "state/lists").glob("*Release"):
        text = path.read_text(errors="replace")
        suite, codename = (re.search(rf"^{key}: (\S+)$", text, re.M)
                           for key in ("Suite", "Codename"))
        if suite and codename:
            found[suite[1]] = codename[1]
    return found


def _places(suites: tuple[str, ...], kind: str, arch: str, all_suites: bool = True) -> Iterator[
        list[str]]:
    """apt options for each of the suites, then for all others that may have a package, at once.

    A site may be late in updating 'stable', and have 'trixie' up to date, so that both are
    looked at. Debian's site for security has versions that stable does not have yet. Of a site
    that does not answer no more is asked.
    """
    away: set[str] = set()

    def look(name: str, wanted: Suites) -> Iterator[list[str]]:
        args, wrong = _lists(_state_of(name, kind, arch), wanted, kind, arch)
        if wrong:
            say(f"Debian {', '.join(suite for _, suite in wanted[:3])}: {wrong}")
        if _AWAY.search(wrong):
            away.update(site for site, _ in wanted[:1])
        yield args

    sites = _sites()
    seen = [(site, suite) for site, label in sites if label == "Debian" for suite in suites]
    for site, suite in seen:
        if site not in away:
            yield from look(f"{site}-{suite}", ((site, suite),))
    rest: dict[tuple[str, str], None] = {}
    released = list(_RELEASES)
    for site, label in sites if all_suites else []:
        if label == "Debian" and site not in away:
            codenames = _codenames(site, kind, arch)
            released += [codenames[name] for name in _RELEASES if name in codenames]
            rolling = [codenames[name] for name in _ROLLING if name in codenames]
            names = dict.fromkeys((*_ROLLING, *rolling, *released))
            rest.update(dict.fromkeys((site, suite) for suite in (
                *names, *(f"{name}-backports" for name in released))))
        elif label == "Debian-Security" and site not in away:
            rest.update(dict.fromkeys((site, f"{name}-security") for name in released))
    wanted = tuple(place for place in rest if place not in seen)
    if wanted:
        yield from look("all", wanted)


def _host_arch() -> str:
    return proc.output(["dpkg", "--print-architecture"], "dpkg").strip()


def _listed(args: list[str], package: str) -> list[tuple[str, str]]:
    """The versions of a package, newest first, and the suite that has each."""
    try:
        shown = proc.output(["apt-cache", *args, "madison", package], "apt-cache")
    except Problem:
        return []
    found = re.findall(r"^ *\S+ \| *(\S+) \| \S+ (\S+)/main ", shown, re.M)
    order = newest_first([version for version, _ in found])
    return sorted(found, key=lambda entry: order.index(entry[0]))


def newest_first(versions: list[str]) -> list[str]:
    """In Debian's order, in which a release comes after its candidates (7.3~rc7)."""

    def compare(one: str, other: str) -> int:
        if one == other:
            return 0
        # A warning of dpkg about a version is none of the user's business
        later = subprocess.run(["dpkg", "--compare-versions", one, "gt", other], check=False,
                               stderr=subprocess.DEVNULL).returncode == 0
        return -1 if later else 1

    return sorted(dict.fromkeys(versions), key=functools.cmp_to_key(compare))


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


def _state() -> contextlib.AbstractContextManager[None]:
    """A private state is for one command at a time, as the machine's own is: apt does not wait."""
    return cache.lock("apt")


class Offer(NamedTuple):
    """A version of a package that a suite lists."""

    package: str
    version: str
    suite: str
    kind: str
    args: list[str]

    def get(self, into: Path) -> Path | None:
        """The .deb, or with kind deb-src the upstream archive, in the directory.

        None if the site does not have it: a list may be older than what it lists.
        """
        try:
            with _state():
                return _download(self.args, self.package, self.version, self.suite, into,
                                 self.kind)
        except DiskFull:
            raise
        except Problem as err:
            if not _GONE.search(str(err)):
                raise
            say(f"{self.package} {self.version} is listed in Debian {self.suite}, and is not there")
            return None


def offers(
    package: str,
    wanted: Callable[[str], object],
    kind: str = "deb",
    arch: str | None = None,
    suites: tuple[str, ...] = (),
) -> Iterator[Offer]:
    """What the suites have of a package: the wanted versions at once, then others, newest first.

    The suites that are named come first. A release comes before a candidate of the next (7.4~rc1).
    """
    if not available():
        return
    arch = arch or _host_arch()
    others: list[Offer] = []
    places = _places(suites, kind, arch)
    while True:
        with _state():
            place = next(places, None)
            if place is None:
                break
            found = [Offer(package, version, suite, kind, place)
                     for version, suite in _listed(place, package)]
        for offer in found:
            if wanted(offer.version):
                yield offer
            else:
                others.append(offer)
    order = newest_first([offer.version for offer in others])
    yield from sorted(others, key=lambda offer: ("~rc" in offer.version,
                                                 order.index(offer.version)))


def fetch(
    package: str,
    wanted: re.Pattern[str],
    into: Path,
    kind: str = "deb",
    arch: str | None = None,
    suites: tuple[str, ...] = (),
    others: bool = False,
) -> Path | None:
    """The .deb (or, kind deb-src, the upstream archive) of the first version that is wanted, or,
    with others, of the newest if none is.
    """
    for offer in offers(package, wanted.match, kind, arch, suites):
        if not others and not wanted.match(offer.version):
            break
        path = offer.get(into)
        if path:
            return path
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


@cache.lock("apt")
def fetch_program(
    package: str, program: str, into: Path, arch: str, suites: tuple[str, ...], readelf: str
) -> dict[str, Path] | None:
    """The program of a package, and the libraries that it takes to run: name -> file."""
    for args in _places(suites, "deb", arch, all_suites=False):
        if _listed(args, package):
            break
    else:
        return None

    def unpack(name: str) -> None:
        """Each package has a directory of its own; those that do not exist are virtual."""
        listed = _listed(args, name)
        directory = into / name
        directory.mkdir(parents=True)
        if listed:
            deb = _download(args, name, *listed[0], into, "deb")
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
