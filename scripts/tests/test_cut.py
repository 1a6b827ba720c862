# SPDX-License-Identifier: GPL-2.0
"""Downloads that break off in the middle: a line that says so, and the next run goes on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import io
import re
import shutil
import threading
import unittest
from collections.abc import Callable
from unittest import mock

from kpkeyslib import aptsrc, cache, cli, inputs
from kpkeyslib.term import Problem

from .support import Scratch

CONTENT = bytes(range(256)) * 4000
BASE = """
[linux]
version = 7.3
package = linux-source-7.3
[qemu]
version = 10.2.2
package = qemu
[linux-7.3.tar.xz]
input = linux
url = {url}
sha256 = {total}
"""


class Server(Scratch):
    """Serves self.files; those with self.cut in their names break off as self.way says."""

    def setUp(self) -> None:
        super().setUp()
        self.files: dict[str, bytes] = {}
        self.way, self.cut = "whole", ""
        test = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                test.answer(self)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        quiet = mock.patch.object(http.server.ThreadingHTTPServer, "handle_error")
        quiet.start()
        self.addCleanup(quiet.stop)
        self.url = self.listen(Handler)
        self.over = threading.Event()
        self.addCleanup(self.over.set)

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        content = self.files.get(request.path.lstrip("/"))
        if content is None:
            request.send_error(404)
            return
        way = self.way if self.cut in request.path else "whole"
        if way == "nothing":
            return
        request.send_response(200)
        if way == "chunks":
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            request.wfile.write(b"80000\r\n" + content[:1000])
            return
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content if way == "whole" else content[:len(content) // 2])
        if way == "silence":
            request.wfile.flush()
            self.over.wait(20)

    def command(self, act: Callable[[], object]) -> tuple[int, str]:
        """Status and error of a command that does this."""
        text = io.StringIO()
        with mock.patch.object(cli, "_setup", lambda args: act() and 0), \
                contextlib.redirect_stderr(text):
            return cli.main(["setup"]), text.getvalue()


class Cut(Server):
    def setUp(self) -> None:
        super().setUp()
        self.files["linux-7.3.tar.xz"] = CONTENT
        path = self.dir / "BASE"
        path.write_text(BASE.format(url=f"{self.url}/linux-7.3.tar.xz",
                                    total=hashlib.sha256(CONTENT).hexdigest()))
        self.known = inputs.base(path)
        for what, value in (("_sites", []), ("available", True), ("_host_arch", "amd64")):
            changed = mock.patch.object(aptsrc, what, return_value=value)
            changed.start()
            self.addCleanup(changed.stop)

    def fetch(self) -> tuple[int, str]:
        """Status and error of a command that takes the archive."""
        def act() -> bytes:
            self.taken = inputs.obtain(self.known, "linux", lambda path: None,
                                       lambda found: found.path.read_bytes())
            return self.taken

        return self.command(act)

    def test_each_way_to_break_off(self) -> None:
        for way in ("middle", "chunks", "silence", "nothing"):
            with self.subTest(way), mock.patch.object(inputs, "CONNECT_TIMEOUT", 0.3):
                self.way = way
                status, error = self.fetch()
                self.assertEqual((status, error.count("\n")), (2, 1), error)
                self.assertRegex(error, "kpkeys: no source of linux 7.3 to be had")
                self.assertRegex(self.screen.getvalue(), "not available: ")
                self.assertEqual(list((cache.root() / "archives").iterdir()), [])
                self.way = "whole"
                self.assertEqual(self.fetch(), (0, ""))
                self.assertEqual(self.taken, CONTENT)

    def test_what_a_killed_download_left(self) -> None:
        (cache.root() / "archives").mkdir()
        (cache.root() / "archives/linux-7.3.tar.xz.partial").write_bytes(b"x" * 2000000)
        self.assertEqual(self.fetch(), (0, ""))
        self.assertEqual(self.taken, CONTENT)

    def test_a_disk_that_is_full_is_not_a_host_that_is_away(self) -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch.object(cache, "need_space", side_effect=full):
            status, error = self.fetch()
        self.assertEqual((status, error.count("\n")), (2, 1))
        self.assertIn("the disk is full", error)
        self.assertEqual(self.fetch(), (0, ""))


@unittest.skipUnless(aptsrc.available(), "this system has no apt")
class Apt(Server):
    """The same of what comes through apt, from an archive of our own."""

    def setUp(self) -> None:
        super().setUp()
        arch = aptsrc._host_arch()
        packages = (f"Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\n"
                    f"Description: none\nFilename: pool/thing_1_all.deb\nSize: {len(CONTENT)}\n"
                    f"SHA256: {hashlib.sha256(CONTENT).hexdigest()}\n").encode()
        name = f"main/binary-{arch}/Packages"
        release = (f"Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: stable\n"
                   f"Date: Fri, 27 Nov 2026 00:00:00 UTC\nArchitectures: {arch}\n"
                   f"Components: main\nSHA256:\n {hashlib.sha256(packages).hexdigest()}"
                   f" {len(packages)} {name}\n").encode()
        self.files.update({"dists/stable/Release": release, f"dists/stable/{name}": packages,
                           "pool/thing_1_all.deb": CONTENT})
        for where, what, value in (
                (aptsrc, "TRUST", "trusted=yes"),
                (aptsrc, "_sites", lambda: [(f"{self.url}/", "Debian")])):
            changed = mock.patch.object(where, what, value)
            changed.start()
            self.addCleanup(changed.stop)

    def fetch(self) -> tuple[int, str]:
        def act() -> bytes:
            path = aptsrc.fetch("thing", re.compile(""), self.dir / "into", suites=("stable",))
            if path is None:
                raise Problem("no thing is to be had")
            self.taken = path.read_bytes()
            return self.taken

        aptsrc._lists.cache_clear()
        return self.command(act)

    def test_each_file(self) -> None:
        for cut, said in (("/Packages", "no thing"),
                          (".deb", "fetching thing 1: E: Failed to fetch .*thing_1_all.deb")):
            for way in ("middle", "nothing"):
                with self.subTest(f"{cut}: {way}"):
                    self.way, self.cut = way, cut
                    shutil.rmtree(cache.root() / "apt", ignore_errors=True)
                    status, error = self.fetch()
                    self.assertEqual((status, error.count("\n")), (2, 1), error)
                    self.assertRegex(error, said)
                    if said == "no thing":
                        self.assertRegex(self.screen.getvalue(), "Debian .*stable.*Failed to fetch")
                    self.screen.truncate(0)
                    self.way = "whole"
                    self.assertEqual(self.fetch(), (0, ""))
                    self.assertEqual(self.taken, CONTENT)

    def test_what_a_killed_download_left(self) -> None:
        for left in (CONTENT, CONTENT[:5000], b"x" * 2000000):
            for name in ("fetched/thing_1_all.deb", "thing_1_all.deb"):
                (self.dir / "into/fetched").mkdir(parents=True, exist_ok=True)
                (self.dir / "into" / name).write_bytes(left)
            self.assertEqual(self.fetch(), (0, ""))
            self.assertEqual(self.taken, CONTENT)
