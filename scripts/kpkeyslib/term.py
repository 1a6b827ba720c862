# SPDX-License-Identifier: GPL-2.0
"""What the user sees: messages, progress, and the one error that stops a command."""

from __future__ import annotations

import errno
import sys
import threading
import time

_lock = threading.Lock()
_open_line = False


class Problem(Exception):
    """The command cannot go on: one line that says what is wrong and what to do."""


class DiskFull(Problem):
    """There is no room: no other way to do the same helps."""


def is_full(err: BaseException) -> bool:
    return isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT)


_said: list[str] = []


def said() -> list[str]:
    """All lines so far."""
    return list(_said)


def say(text: str = "") -> None:
    """Print a line, on a line of its own even while a progress line is open."""
    clear()
    with _lock:
        _said.extend(text.splitlines())
        print(text, flush=True)


def clear() -> None:
    """End an open progress line."""
    global _open_line
    with _lock:
        if _open_line:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()
            _open_line = False


def _show(text: str) -> None:
    global _open_line
    with _lock:
        sys.stdout.write(f"\r\033[K{text[:100]}")
        sys.stdout.flush()
        _open_line = True


class Progress:
    """One long step: a live line on a terminal, a line now and then in a log."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = self.shown = time.monotonic()
        self.live = sys.stdout.isatty()
        say(f"{what} ...")

    def update(self, state: str) -> None:
        now = time.monotonic()
        if now - self.shown < (0.2 if self.live else 30):
            return
        self.shown = now
        if self.live:
            _show(f"  {state}")
        else:
            say(f"  {self.elapsed()} {state}")

    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self.start)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def done(self) -> None:
        if time.monotonic() - self.start >= 1:
            say(f"  done in {self.elapsed()}")


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
