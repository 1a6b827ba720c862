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
from collections.abc import Iterator
from pathlib import Path

from . import aptsrc, cache, proc
from .term import Problem, Progress, is_full, say, size

REPO = Path(__file__).resolve().parents[2]
CONNECT_TIMEOUT = 8

Base = configparser.ConfigParser
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
        for name, key in (("linux", "version"), ("linux", "package"), ("qemu", "version")):
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


def _upstream(known: Base, which: str) -> tuple[Path, str] | None:
    for name, wanted in archives(known, which):
        url = known[name].get("url")
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
        return path, wanted
    return None


def _package(known: Base, which: str) -> tuple[Path, str] | None:
    """From Debian: the package that apt's signatures vouch for."""
    package, version = known[which]["package"], re.escape(known[which]["version"])
    wanted = re.compile(rf"(\d+:)?{version}(?![0-9])")
    kind = "deb" if which == "linux" else "deb-src"
    suites = aptsrc.SUITES if which == "linux" else aptsrc.SUITES[1:]
    directory = cache.root() / "archives" / f"{which}.new"
    with cache.lock(f"archives/{which}"):
        cache.discard(directory)
        cache.need_space(4e8)
        path = aptsrc.fetch(package, wanted, directory, kind, suites=suites)
        if path is None:
            return None
        for name, total in archives(known, which):
            if path.name == name and kind == "deb-src":
                verify(path, total)
        final = directory.parent / path.name
        total = cache.sha256(path)
        path.rename(final)
        shutil.rmtree(directory)
    return final, total


def archive(known: Base, which: str) -> tuple[Path, str]:
    """The archive of linux or qemu and its sha256, from the first place that has it."""
    found = (
        _distfile(known, which, subset=False)
        or _upstream(known, which)
        or _package(known, which)
    )
    if found:
        return found
    found = _distfile(known, which, subset=True)
    if found:
        say(f"NOTE: no complete source of {which} to be had; using the cut-down {found[0].name}")
        return found
    section = known[which]
    raise Problem(
        f"no source of {which} {section['version']} to be had (offline?): put one of"
        f" {', '.join(name for name, _ in archives(known, which))} into a directory and set"
        " KPKEYS_DISTFILES to it" + (", or pass --linux" if which == "linux" else "")
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
