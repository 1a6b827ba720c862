# SPDX-License-Identifier: GPL-2.0
"""Where the kernel and QEMU sources come from: BASE, and the places it allows.

There is a series for the base at the top of the repository, and others for older kernels
under backports/, named by their version. A command is about one of them.
"""

from __future__ import annotations

import configparser
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from . import aptsrc, cache, proc
from .term import DiskFull, Problem, Progress, is_full, say, size

REPO = Path(__file__).resolve().parents[2]
CONNECT_TIMEOUT = 8

Base = configparser.ConfigParser
T = TypeVar("T")
_chosen = ""


def choose(version: str | None) -> None:
    """What --base names is what this command is about; None: what is at the top."""
    global _chosen
    _chosen = "" if version in (None, base(REPO / "BASE")["linux"]["version"]) else version or ""
    if _chosen and not (home() / "BASE").is_file():
        others = sorted(path.parent.name for path in (REPO / "backports").glob("*/BASE"))
        raise Problem(f"no series for Linux {version}; --base takes {', '.join(others)}")


def home() -> Path:
    """The directory with BASE, patches/ and series of the base that was chosen."""
    return REPO / "backports" / _chosen if _chosen else REPO


def option() -> str:
    """What chooses the same base again, for a command line that is shown."""
    return f" --base {_chosen}" if _chosen else ""


def base(path: Path | None = None) -> Base:
    path = path or home() / "BASE"
    parsed = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parsed.read_string(path.read_text())
        if "qemu" not in parsed:
            # A backport has the same emulator
            everything = base(REPO / "BASE")
            for name in everything.sections():
                if "qemu" in (name, everything[name].get("input")):
                    parsed[name] = everything[name]
        for name in ("linux", "qemu"):
            for key in ("version", "package"):
                parsed[name][key]
    except (OSError, KeyError, configparser.Error) as err:
        raise Problem(f"{path} cannot be read: {err}") from None
    return parsed


def has(what: str) -> bool:
    """Whether the base has what tests or builds rely on; BASE of a backport lists what not."""
    return what not in base().get("differences", "without", fallback="").split()


def archives(known: Base, which: str, subset: bool = False) -> Iterator[tuple[str, str]]:
    """(name, sha256) of the archives that BASE knows."""
    for name in known.sections():
        section = known[name]
        if section.get("input") == which and section.getboolean("subset", False) == subset:
            yield name, section.get("sha256", "")


def everything(known: Base, which: str) -> list[tuple[str, str]]:
    """(name, sha256) of the archives that BASE knows, cut-down ones too."""
    return [*archives(known, which), *archives(known, which, subset=True)]


def release(known: Base, which: str) -> str:
    """The version that BASE names, whole: a series is for all of 7.3, its base is 7.3.4."""
    return known[which].get("release", known[which]["version"])


def verify(path: Path, wanted: str) -> None:
    found = cache.sha256(path)
    if found != wanted:
        raise Problem(
            f"{path} has the wrong checksum (sha256 {found[:12]}..., BASE says {wanted[:12]}...):"
            " fetch it again, or remove it"
        )


def given(known: Base, path: Path) -> tuple[Path, str]:
    """An archive that the user names: as BASE has it, or else the user's own choice."""
    if not path.is_file():
        raise Problem(f"no such archive: {path}")
    wanted = known.get(path.name, "sha256", fallback=None) if path.name in known else None
    if wanted:
        verify(path, wanted)
        return path, wanted
    found = cache.sha256(path)
    say(f"{path.name} is not in BASE; taken as given (sha256 {found})")
    return path, found


def _distfile(known: Base, which: str, subset: bool) -> tuple[Path, str] | None:
    directory = os.environ.get("KPKEYS_DISTFILES")
    if not directory:
        return None
    if not Path(directory).is_dir():
        raise Problem(f"KPKEYS_DISTFILES is not a directory: {directory}")
    for name, wanted in archives(known, which, subset):
        path = Path(directory) / name
        if path.exists():
            verify(path, wanted)
            return path, wanted
    return None


def _download(url: str, path: Path) -> bool:
    """Fetch a URL; False if the host does not answer."""
    progress = Progress(f"Fetching {url}")
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT) as answer, path.open("wb") as out:
            total = int(answer.headers.get("Content-Length") or 0)
            cache.need_space(total, path.parent)
            got = 0
            for block in iter(lambda: answer.read(1 << 18), b""):
                out.write(block)
                got += len(block)
                progress.update(f"{size(got)} of {size(total)}" if total else size(got))
            if got < total:
                raise urllib.error.URLError("the connection broke off")
    except (OSError, http.client.HTTPException) as err:
        path.unlink(missing_ok=True)
        if is_full(err):
            raise
        say(f"  not available: {getattr(err, 'reason', err)}")
        return False
    progress.done()
    return True


class Found(NamedTuple):
    """An archive: BASE's own, or, with a name, another that may do as well."""

    path: Path
    total: str
    other: str = ""


def _urls(known: Base, which: str, key: str) -> Iterator[Found]:
    """What BASE has a URL for."""
    for name, wanted in archives(known, which):
        url = known[name].get(key)
        if not url or not wanted:
            continue
        directory = cache.root() / "archives"
        directory.mkdir(exist_ok=True)
        with cache.lock(f"archives/{name}"):
            path, partial = directory / name, directory / (name + ".partial")
            if not path.exists():
                if not _download(url, partial):
                    continue
                try:
                    verify(partial, wanted)
                except Problem:
                    partial.unlink()
                    raise
                partial.rename(path)
        yield Found(path, wanted)


def _packages(known: Base, which: str) -> Iterator[Found]:
    """From Debian: packages that apt's signatures vouch for, that which BASE names first."""
    section = known[which]
    named = re.compile(rf"(\d+:)?{re.escape(release(known, which))}(?![0-9.])")
    kind = "deb" if which == "linux" else "deb-src"
    suites = tuple(dict.fromkeys((*section.get("suite", "").split(), *aptsrc.SUITES)))
    directory = cache.root() / "archives" / f"{which}.new"
    if not aptsrc.available():
        return
    cache.need_space(4e8)
    for offer in aptsrc.offers(section["package"], named.match, kind, suites=suites):
        if not same_series(section["version"], offer.version):
            continue
        with cache.lock(f"archives/{which}"):
            cache.discard(directory)
            try:
                path = offer.get(directory)
            except Problem as err:
                if not re.search(r"\b404\b", str(err)):
                    raise
                # Listed, but superseded by the time that it was asked for
                say(f"{offer.package} {offer.version} has left Debian {offer.suite}")
                continue
            total = cache.sha256(path)
            if path.name in known and known[path.name].get("sha256"):
                verify(path, known[path.name]["sha256"])
            final = directory.parent / path.name
            path.rename(final)
            shutil.rmtree(directory)
        ours = total in dict(archives(known, which)).values()
        yield Found(final, total, "" if ours else f"{offer.package} {offer.version}")


def same_series(wanted: str, version: str) -> bool:
    """Whether patches may fit a version: any of Linux 7.3; QEMU 10.2.2, or what came after it."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", re.split(r"[^0-9.]", text)[0])]

    upstream = version.split(":", 1)[-1]
    if wanted.count(".") < 2:
        return re.match(rf"{re.escape(wanted)}(?![0-9])", upstream) is not None
    return numbers(upstream) >= numbers(wanted)


def _candidates(known: Base, which: str) -> Iterator[Found]:
    """Each archive that may do, in the order in which they are wanted."""
    found = _distfile(known, which, subset=False)
    if found:
        yield Found(*found)
    yield from _urls(known, which, "url")
    yield from _packages(known, which)
    # What a suite has no longer, this place keeps
    yield from _urls(known, which, "keeps")
    found = _distfile(known, which, subset=True)
    if found:
        say(f"NOTE: no complete source of {which} to be had; using the cut-down {found[0].name}")
        yield Found(*found)


def obtain(known: Base, which: str, take: Callable[[Path, str], T]) -> T:
    """What take() makes of the archive of linux or qemu and its sha256, from the first place
    that has it. Of another version than BASE names, what take() refuses is passed over.
    """
    refused = []
    for found in _candidates(known, which):
        try:
            if not found.other:
                return take(found.path, found.total)
            try:
                made = take(found.path, found.total)
            except DiskFull:
                raise
            except Problem as err:
                say(f"{found.other} is not taken: {err}")
                refused.append(found.other)
                continue
            say(f"NOTE: {known[which]['package']} {release(known, which)} is not to be had;"
                f" {found.other} is taken instead")
            return made
        finally:
            if found.path.parent == cache.root() / "archives":
                found.path.unlink(missing_ok=True)
    names = ", ".join(name for name, _ in archives(known, which))
    raise Problem(
        f"no source of {which} {release(known, which)} to be had (offline?)"
        + (f", and the series does not apply to {', '.join(refused)}" if refused else "")
        + f": put one of {names} into a directory and set KPKEYS_DISTFILES to it"
        + (", or pass --linux" if which == "linux" else "")
    )


def unpack(path: Path, into: Path, what: str) -> Path:
    """Unpack an archive, or the one inside a Debian package; the directory it holds."""
    log = into / "unpack.log"
    if path.suffix == ".deb":
        proc.run(["dpkg-deb", "-x", path, into / "deb"], log, f"unpacking {path.name}")
        inner = sorted((into / "deb").glob("usr/src/*.tar.*"))
        if len(inner) != 1:
            raise Problem(f"{path.name} holds no source archive")
        path = inner[0]
    progress = Progress(f"Unpacking {what}")
    count = 0

    def state(_: str) -> str:
        nonlocal count
        count += 1
        return f"{count} files"

    tree = into / "tree"
    tree.mkdir()
    proc.run(["tar", "-xvf", path.absolute(), "-C", tree], log, f"unpacking {path.name}",
             progress=progress, state=state)
    progress.done()
    shutil.rmtree(into / "deb", ignore_errors=True)
    log.unlink()
    tops = list(tree.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise Problem(f"{path.name} is not a source archive: it does not hold one directory")
    return tops[0]
