# SPDX-License-Identifier: GPL-2.0
"""The cache: entries keyed by content hash, complete or not there at all.

An entry is made in KEY.partial, under a lock, and renamed to KEY when it is
complete. So nothing half-written is ever taken for good, a build that was
interrupted finds its objects again, and two runs at once wait for each other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .term import DiskFull, say, size

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


def write(path: Path, text: str) -> None:
    """Write a small file as a whole: nobody ever reads half of it."""
    new = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    try:
        new.write_text(text)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _open(path: Path) -> int:
    """Open what is to be locked, for the tools that this command starts as well.

    So what is left of a command that was killed has the lock until it has ended, too.
    """
    number = os.open(path, os.O_RDONLY | (0 if path.is_dir() else os.O_CREAT), 0o666)
    os.set_inheritable(number, True)
    return number


def _locks() -> Path:
    path = root() / "locks"
    path.mkdir(exist_ok=True)
    return path


_mine: dict[Path, threading.Lock] = {}


@contextlib.contextmanager
def lock(name: str, where: Path | None = None) -> Iterator[None]:
    """Hold NAME against other runs of this command; with WHERE, only those at that place."""
    file = re.sub(r"[^\w.-]+", "-", name)[:150] + (f"-{digest([str(where)])}" if where else "")
    path = _locks() / file
    # Another thread of this command is no other run, and is not worth a word
    with _mine.setdefault(path, threading.Lock()):
        number = _open(path)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another kpkeys run ({name}) ...")
                fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            # Closing it would leave it to the tools that still run beside this
            fcntl.flock(number, fcntl.LOCK_UN)
            os.close(number)


_commands: dict[Path, int] = {}
_used: set[Path] = set()
_guard = threading.Lock()


def _use(final: Path) -> None:
    """Note that this command uses an entry, from now on to its end."""
    with _guard:
        _used.add(final)
        if root() not in _commands:
            number = _open(_locks() / "commands")
            fcntl.flock(number, fcntl.LOCK_SH)
            _commands[root()] = number
            _discard_leftovers()


def _sweep(kind: Path) -> None:
    """Discard the entries of a kind that were not used for long."""

    def old() -> list[Path]:
        found = []
        for other in kind.iterdir():
            with contextlib.suppress(FileNotFoundError):  # just completed or discarded by another
                if (other.stat().st_mtime < time.time() - KEEP_DAYS * 86400 and other.is_dir()
                        and other.with_name(other.name.removesuffix(".partial")) not in _used):
                    found.append(other)
        return found

    if not old():
        return
    with lock("sweep"), _guard:
        number = _commands[root()]
        try:
            # Not while another command runs: it may use them, however long ago it looked them up
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in old():
                discard(path)
        except BlockingIOError:
            pass
        finally:
            # The attempt has let go of it; only who has the lock "sweep" can come in between
            fcntl.flock(number, fcntl.LOCK_SH)


def _is_there(final: Path) -> bool:
    try:
        os.utime(final)
    except FileNotFoundError:
        return False
    return True


def entry(kind: str, key: str, make: Callable[[Path], None], resume: bool = False) -> Path:
    """The complete entry KIND/KEY; make(directory) fills it if it is not there yet.

    With resume, what an interrupted run left in the directory is kept for make().
    """
    final = root() / kind / key
    _use(final)
    if _is_there(final):
        return final
    with lock(f"{kind}/{key}"):
        if _is_there(final):
            return final
        partial = final.with_name(key + ".partial")
        if not resume:
            discard(partial)
        partial.mkdir(parents=True, exist_ok=True)
        make(partial)
        partial.rename(final)
        os.utime(final)
    _sweep(final.parent)
    return final


def _scratch() -> Path:
    places = root() / "scratch"
    places.mkdir(exist_ok=True)
    return places


def _discard_leftovers() -> None:
    """Discard what killed commands left of their scratch()."""
    for old in _scratch().iterdir():
        with contextlib.suppress(FileNotFoundError):
            number = _open(old)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                discard(old)
            os.close(number)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is there while the block runs; what killed commands left of theirs goes."""
    _discard_leftovers()
    while True:
        place = Path(tempfile.mkdtemp(dir=_scratch()))
        try:
            number = _open(place)
        except FileNotFoundError:
            continue  # taken for a leftover before it was locked
        fcntl.flock(number, fcntl.LOCK_EX)
        if place.exists():
            break
        os.close(number)
    try:
        yield place
    finally:
        discard(place)
        os.close(number)


def discard(path: Path) -> None:
    """Remove a tree without waiting for it; file systems can take a minute for many files.

    It is moved to a name that nothing else has or will have. What is in the trash can so be
    removed by whoever comes by, any number of times; the trash itself stays.
    """
    trash = root() / "trash"
    while os.path.lexists(path):
        trash.mkdir(exist_ok=True)
        try:
            path.rename(trash / uuid.uuid4().hex)
            break
        except FileNotFoundError:
            continue  # one of both went meanwhile: the loop says which
        except OSError as err:
            if err.errno != errno.EXDEV:
                raise
            # On another file system there is no such place
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    else:
        return
    subprocess.run(["sh", "-c", 'rm -rf -- "$0"/* &', trash], check=False,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, start_new_session=True)


def need_space(amount: float, path: Path | None = None) -> None:
    """Stop before a big step that the disk has no room for."""
    path = path or root()
    free = shutil.disk_usage(path).free
    if free < amount:
        raise DiskFull(
            f"{path} has {size(free)} free and this step needs {size(amount)}: make room,"
            " or set XDG_CACHE_HOME to a directory on a larger disk"
        )
