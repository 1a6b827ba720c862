# SPDX-License-Identifier: GPL-2.0
"""Running other people's tools: with a log, progress and errors that name the cause."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from .term import DiskFull, Problem, Progress

T = TypeVar("T")
NO_SPACE = re.compile(
    r"No space left on device|Disk quota exceeded|don't have enough free space", re.I)
# How apt and sudo begin the line that says what is wrong
_CAUSE = re.compile(r"(E|sudo): ")


def tail(path: Path, lines: int = 12) -> str:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


_children: set[subprocess.Popen] = set()


def start(argv: Sequence[str], terminal: bool = False, **options) -> subprocess.Popen:
    """Start a child in a process group of its own, so that it can be stopped as a whole.

    One that may have to ask at the terminal stays in ours: no other group is let at it.
    """
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                             start_new_session=not terminal, **options)
    _children.add(child)
    return child


def stop(child: subprocess.Popen) -> None:
    """End a child and all that it started."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sig)
            child.wait(timeout=5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def end(child: subprocess.Popen) -> None:
    """Stop a child that still runs, and forget it."""
    if child.poll() is None:
        stop(child)
    if child.stdout:
        child.stdout.close()
    _children.discard(child)


def parallel(workers: int, calls: Sequence[Callable[[], T]]) -> Iterator[tuple[int, T]]:
    """Run the calls side by side; (index, value) as they end. An error ends them all."""
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(call): index for index, call in enumerate(calls)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):
                for child in list(_children):
                    stop(child)
                time.sleep(0.1)
            raise


def run(
    argv: Sequence[str | Path],
    log: Path,
    what: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    state: Callable[[str], str | None] | None = None,
    terminal: bool = False,
) -> None:
    """Run a tool with its output in a log; state() makes progress out of a line of it."""
    args = [str(arg) for arg in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        print("$", shlex.join(args), file=out, flush=True)
        try:
            # It holds the locks of this command, too (see cache.lock)
            child = start(args, terminal, cwd=cwd, close_fds=False,
                          env={**os.environ, **(env or {})},
                          stdout=subprocess.PIPE, text=True, errors="replace")
        except FileNotFoundError:
            raise Problem(f"{what}: no command {args[0]}") from None
        assert child.stdout
        full, cause = False, ""
        try:
            for line in child.stdout:
                out.write(line)
                full = full or bool(NO_SPACE.search(line))
                cause = cause or (line.strip() if _CAUSE.match(line) else "")
                shown = state(line) if state else None
                if progress and shown:
                    progress.update(shown)
            child.wait()
        finally:
            end(child)
    if child.returncode:
        if full:
            raise DiskFull(f"{what}: the disk is full ({log}); make room and run the command again")
        if cause:
            raise Problem(f"{what}: {cause} ({log})")
        raise Problem(f"{what} failed, see {log}:\n{tail(log)}")


def output(argv: Sequence[str | Path], what: str, **options) -> str:
    """What a quick tool prints."""
    args = [str(arg) for arg in argv]
    try:
        done = subprocess.run(args, capture_output=True, text=True, errors="replace",
                              close_fds=False, **options)
    except FileNotFoundError:
        raise Problem(f"{what}: no command {args[0]}") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        if NO_SPACE.search(done.stderr):
            raise DiskFull(f"{what}: the disk is full; make room and run the command again")
        causes = [line for line in lines if line.startswith(("fatal:", "error:", "E:"))]
        raise Problem(f"{what}: {(causes or lines)[-1]}")
    return done.stdout
