# SPDX-License-Identifier: GPL-2.0
"""Downloads that break off in the middle: a line that says so, and the next run goes on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import io
import threading
from pathlib import Path
from unittest import mock

from kpkeyslib import aptsrc, cache, cli, inputs

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


class Cut(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.way = "whole"
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
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.over = threading.Event()
        self.addCleanup(self.over.set)
        path = self.dir / "BASE"
        path.write_text(BASE.format(url=f"http://127.0.0.1:{server.server_port}/linux-7.3.tar.xz",
                                    total=hashlib.sha256(CONTENT).hexdigest()))
        self.known = inputs.base(path)
        for what, value in (("_sites", []), ("available", True), ("_host_arch", "amd64")):
            changed = mock.patch.object(aptsrc, what, return_value=value)
            changed.start()
            self.addCleanup(changed.stop)

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        if self.way == "nothing":
            return
        request.send_response(200)
        if self.way == "chunks":
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            request.wfile.write(b"80000\r\n" + CONTENT[:1000])
            return
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT if self.way == "whole" else CONTENT[:400000])
        if self.way == "silence":
            request.wfile.flush()
            self.over.wait(20)

    def fetch(self) -> tuple[int, str]:
        """Status and error of a command that takes the archive."""
        def act(args: object) -> int:
            self.content = inputs.obtain(self.known, "linux", lambda path: None,
                                         lambda found: found.path.read_bytes())
            return 0

        text = io.StringIO()
        with mock.patch.object(cli, "_setup", act), contextlib.redirect_stderr(text):
            return cli.main(["setup"]), text.getvalue()

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
                self.assertEqual(self.content, CONTENT)

    def test_what_a_killed_download_left(self) -> None:
        (cache.root() / "archives").mkdir()
        (cache.root() / "archives/linux-7.3.tar.xz.partial").write_bytes(b"x" * 2000000)
        self.assertEqual(self.fetch(), (0, ""))
        self.assertEqual(self.content, CONTENT)

    def test_a_disk_that_is_full_is_not_a_host_that_is_away(self) -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch.object(cache, "need_space", side_effect=full):
            status, error = self.fetch()
        self.assertEqual((status, error.count("\n")), (2, 1))
        self.assertIn("the disk is full", error)
        self.assertEqual(self.fetch(), (0, ""))
