# SPDX-License-Identifier: GPL-2.0
"""Where the kernel and QEMU sources come from: BASE, and the places it allows.

There is a series for the base at the top of the repository, and others for older kernels
under backports/, named by their version. A command is about one of them.
"""

from __future__ import annotations

import configparser
import http.client
import lzma
import os
import re
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
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


def _fetched(known: Base, which: str) -> Iterator[Found]:
    """What an earlier run has fetched, and was stopped before it used it."""
    for name, wanted in archives(known, which):
        path = cache.root() / "archives" / name
        if path.exists() and cache.sha256(path) == wanted:
            yield Found(path, wanted)


def _urls(known: Base, which: str, key: str, tried: list[str]) -> Iterator[Found]:
    """What BASE has URLs for."""
    for name, wanted in archives(known, which):
        directory = cache.root() / "archives"
        directory.mkdir(exist_ok=True)
        path, partial = directory / name, directory / (name + ".partial")
        for url in known[name].get(key, "").split():
            with cache.lock(f"archives/{name}"):
                if not _download(url, partial):
                    tried.append(f"{url}: not available")
                    continue
                if cache.sha256(partial) != wanted:
                    tried.append(f"{url}: wrong checksum")
                    say(f"  not taken: {url} has the wrong checksum")
                    partial.unlink()
                    continue
                partial.rename(path)
            yield Found(path, wanted)
            break


def same_series(wanted: str, version: str) -> bool:
    """Whether patches may fit a version: any of Linux 7.3; QEMU 10.2.2, or what came after it."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", re.split(r"[^0-9.]", text)[0])]

    upstream = version.split(":", 1)[-1]
    if wanted.count(".") < 2:
        return re.match(rf"{re.escape(wanted)}(?![0-9])", upstream) is not None
    return numbers(upstream) >= numbers(wanted)


def named(known: Base, which: str) -> re.Pattern[str]:
    """The versions of Debian's package that are the one that BASE names."""
    return re.compile(rf"(\d+:)?{re.escape(release(known, which))}(?![0-9.~])")


def suites(known: Base, which: str) -> tuple[str, ...]:
    """Where to look first."""
    return tuple(known[which].get("suite", "").split())


def _package(known: Base, which: str, offer: aptsrc.Offer, tried: list[str]) -> Found | None:
    """A package that apt's signatures vouch for."""
    directory = cache.root() / "archives" / f"{which}.new"
    name = f"{offer.package} {offer.version}"
    with cache.lock(f"archives/{which}"):
        cache.discard(directory)
        cache.need_space(4e8)
        path = offer.get(directory)
        if path is None:
            tried.append(f"{name}: listed in Debian {offer.suite}, and not there")
            return None
        total = cache.sha256(path)
        if total != known.get(path.name, "sha256", fallback=total):
            tried.append(f"{name}: wrong checksum")
            return None
        final = directory.parent / path.name
        path.rename(final)
        cache.discard(directory)
    return Found(final, total, "" if total in dict(archives(known, which)).values() else name)


def _packages(known: Base, which: str, tried: list[str]) -> Iterator[Found]:
    """From Debian: what BASE names, then other releases, the newest first.

    A candidate for a release only comes after the place that keeps what BASE names.
    """
    section, right = known[which], named(known, which)
    kind = "deb" if which == "linux" else "deb-src"
    seen, later = set(), []

    def get(offer: aptsrc.Offer) -> Iterator[Found]:
        # Debian's revisions have the same upstream archive
        key = offer.version if kind == "deb" else offer.version.rsplit("-", 1)[0]
        if key not in seen:
            found = _package(known, which, offer, tried)
            if found:
                seen.add(key)
                yield found

    for offer in aptsrc.offers(section["package"], right.match, kind, None, suites(known, which)):
        if not same_series(section["version"], offer.version):
            continue
        if "~rc" in offer.version and not right.match(offer.version):
            later.append(offer)
            continue
        yield from get(offer)
    yield from _urls(known, which, "keeps", tried)
    for offer in later:
        yield from get(offer)


def _candidates(known: Base, which: str, tried: list[str]) -> Iterator[Found]:
    """Each archive that may do, in the order in which they are wanted."""
    found = _distfile(known, which, subset=False)
    if found:
        yield Found(*found)
    yield from _fetched(known, which)
    yield from _urls(known, which, "url", tried)
    yield from _packages(known, which, tried)
    found = _distfile(known, which, subset=True)
    if found:
        say(f"NOTE: no complete source of {which} to be had; using the cut-down {found[0].name}")
        yield Found(*found)


def instead(known: Base, which: str, other: str) -> str:
    """What is said of another version than BASE names."""
    return (f"NOTE: {known[which]['package']} {release(known, which)} is not to be had; taking"
            f" {other} instead, to which the series applies")


def obtain(known: Base, which: str, check: Callable[[Path], None], take: Callable[[Found], T]) -> T:
    """What take() makes of the archive of linux or qemu, from the first place that has it.

    Another version than BASE names is passed over if check() refuses it.
    """
    # The archive goes when it was taken: no other command may be at taking it
    with cache.lock(f"archive of {which}"):
        return _obtain(known, which, check, take)


def _obtain(
    known: Base, which: str, check: Callable[[Path], None], take: Callable[[Found], T]
) -> T:
    tried: list[str] = []
    for found in _candidates(known, which, tried):
        try:
            if found.other:
                try:
                    check(found.path)
                except DiskFull:
                    raise
                except Problem as err:
                    tried.append(f"{found.other}: {str(err).splitlines()[0]}")
                    say(f"not taken: {tried[-1]}")
                    continue
                say(instead(known, which, found.other))
            return take(found)
        finally:
            if found.path.parent == cache.root() / "archives":
                found.path.unlink(missing_ok=True)
    names = ", ".join(name for name, _ in archives(known, which))
    raise Problem(
        f"no source of {which} {release(known, which)} to be had"
        f" ({'; '.join(dict.fromkeys(tried)) or 'offline?'}): put one of {names} into a directory"
        " and set KPKEYS_DISTFILES to it" + (", or pass --linux" if which == "linux" else "")
    )


def _inner(path: Path, into: Path) -> Path:
    """The archive, or the one inside a Debian package."""
    if path.suffix != ".deb":
        return path
    proc.run(["dpkg-deb", "-x", path, into / "deb"], into / "unpack.log", f"unpacking {path.name}")
    inner = sorted((into / "deb").glob("usr/src/*.tar.*"))
    if len(inner) != 1:
        raise Problem(f"{path.name} holds no source archive")
    return inner[0]


def unpack_some(path: Path, into: Path, names: list[str]) -> None:
    """Of an archive just these files, those of them that it has, without its own directory."""
    wanted = set(names)
    try:
        with tarfile.open(_inner(path, into.parent), "r|*") as packed:
            for member in packed:
                name = member.name.removeprefix("./").partition("/")[2]
                data = packed.extractfile(member) if name in wanted and member.isfile() else None
                if data:
                    (into / name).parent.mkdir(parents=True, exist_ok=True)
                    (into / name).write_bytes(data.read())
                    (into / name).chmod(member.mode)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as err:
        raise Problem(f"unpacking {path.name} failed: {err}") from None


def unpack(path: Path, into: Path, what: str) -> Path:
    """Unpack an archive, or the one inside a Debian package; the directory it holds."""
    log = into / "unpack.log"
    path = _inner(path, into)
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
