# SPDX-License-Identifier: GPL-2.0
"""What the tests share: a scratch cache, a miniature kernel in git."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import os
import tempfile
import threading
import unittest
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from kpkeyslib import figures, inputs, needs, series, term

MAKEFILE = "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc7\n"
AUTHOR = {
    "GIT_AUTHOR_NAME": "Ännchen Author",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05+0600",
}


class Scratch(unittest.TestCase):
    """A test with a directory of its own, a cache in it, and a quiet terminal."""

    def setUp(self) -> None:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kpkeys-")))
        stack.enter_context(mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.dir / "c")}))
        os.environ.pop("KPKEYS_DISTFILES", None)
        # Whatever base 'kpkeys test', which this may be part of, is about
        stack.enter_context(mock.patch.object(inputs, "_chosen", ""))
        stack.enter_context(mock.patch.object(needs, "_may_install", False))
        # What the commands note of themselves, and say, is not for the documents
        stack.enter_context(mock.patch.object(term, "_said", []))
        stack.enter_context(mock.patch.object(figures, "DIRECTORY", self.dir / "results"))
        self.screen = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))

    def serve(self, directory: Path) -> str:
        """The address of a server that has the files of a directory."""
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
        quiet = mock.patch.object(http.server.SimpleHTTPRequestHandler, "log_message")
        quiet.start()
        self.addCleanup(quiet.stop)
        return self.listen(handler)

    def listen(self, handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> str:
        """The address of a server whose requests are handled so, until the test ends."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"


def mini_kernel(where: Path) -> str:
    """A git tree that looks enough like Linux; its commit."""
    (where / "arch/arm64").mkdir(parents=True)
    (where / "mm").mkdir()
    (where / "Makefile").write_text(MAKEFILE)
    (where / "arch/arm64/Kconfig").write_text("config ARM64\n")
    (where / "mm/memory.c").write_text("".join(f"int line{n};\n" for n in range(40)))
    series.git(where, "init", "--quiet", "--initial-branch=base")
    # As in Debian's source: everything that is not in the base is ignored
    (where / ".gitignore").write_text("*.o\n/*\n!/debian/\n")
    series.git(where, "add", "--force", "--all")
    return commit(where, "base")


def commit(where: Path, message: str) -> str:
    series.git(where, "add", "--all")
    series.git(where, "commit", "--quiet", "--no-gpg-sign", "-m", message, env=AUTHOR)
    return series.git(where, "rev-parse", "HEAD").strip()


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))
