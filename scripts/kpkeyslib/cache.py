# SPDX-License-Identifier: GPL-2.0
"""The cache: entries keyed by content hash, complete or not there at all.

An entry is made in KEY.partial, under a lock, and renamed to KEY when it is
complete. So nothing half-written is ever taken for good, a build that was
interrupted finds its objects again, and two runs at once wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .term import Problem, say, size

KEEP_DAYS = 30  # what no run used for so long goes when the next entry of its kind is made


def root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base).absolute() / "kpkeys"
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(parts: Iterable[str | bytes | Path]) -> str:
    """A short content hash; a Path stands for its name and what the file or tree holds."""
    total = hashlib.sha256()

    def add(data: bytes) -> None:
        total.update(b"%d:" % len(data))
        total.update(data)

    for part in parts:
        if isinstance(part, Path):
            files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
            for file in files:
                add(str(file.relative_to(part.parent)).encode())
                add(b"x" if os.access(file, os.X_OK) else b"-")
                add(file.read_bytes())
        else:
            add(part.encode() if isinstance(part, str) else part)
    return total.hexdigest()[:20]


def sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold NAME against other runs of this command."""
    path = root() / "locks" / name.replace("/", "-")
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another kpkeys run ({name}) ...")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def entry(kind: str, key: str, make: Callable[[Path], None], resume: bool = False) -> Path:
    """The complete entry KIND/KEY; make(directory) fills it if it is not there yet.

    With resume, what an interrupted run left in the directory is kept for make().
    """
    final = root() / kind / key
    if final.is_dir():
        os.utime(final)
        return final
    with lock(f"{kind}/{key}"):
        if final.is_dir():
            return final
        partial = final.with_name(key + ".partial")
        if not resume:
            discard(partial)
        partial.mkdir(parents=True, exist_ok=True)
        make(partial)
        partial.rename(final)
        os.utime(final)
    for other in final.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # just completed or discarded by another
            if other.stat().st_mtime < time.time() - KEEP_DAYS * 86400:
                discard(other)
    return final


def discard(path: Path) -> None:
    """Remove a tree without waiting for it; file systems can take a minute for many files."""
    if path.exists():
        trash = root() / "trash"
        trash.mkdir(exist_ok=True)
        path.rename(Path(tempfile.mkdtemp(dir=trash)) / path.name)
        subprocess.run(["sh", "-c", 'rm -rf -- "$0" &', trash], check=False,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, start_new_session=True)


def need_space(amount: float, path: Path | None = None) -> None:
    """Stop before a big step that the disk has no room for."""
    path = path or root()
    free = shutil.disk_usage(path).free
    if free < amount:
        raise Problem(
            f"{path} has {size(free)} free and this step needs {size(amount)}: make room,"
            " or set XDG_CACHE_HOME to a directory on a larger disk"
        )
