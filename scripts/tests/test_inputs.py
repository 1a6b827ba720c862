# SPDX-License-Identifier: GPL-2.0
"""Archives: where they are found, and what is refused."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path
from unittest import mock

from kpkeyslib import aptsrc, cache, inputs, kernel, series
from kpkeyslib.term import Problem

from .support import Scratch, commit, edit, mini_kernel

BASE = """
[linux]
version = 7.3
package = linux-source-7.3
[qemu]
version = 10.2.2
package = qemu
[linux-7.3.tar.xz]
input = linux
{url}
sha256 = {full}
[linux-small.tar.xz]
input = linux
subset = yes
sha256 = {small}
"""


class Inputs(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.mirror = self.dir / "mirror"
        self.mirror.mkdir()
        self.full = self.archive("linux-7.3.tar.xz", "linux-7.3")
        self.small = self.archive("linux-small.tar.xz", "linux-small")
        no_debian = mock.patch.object(aptsrc, "_sites", return_value=[])
        no_debian.start()
        self.addCleanup(no_debian.stop)

    def archive(self, name: str, top: str) -> Path:
        tree = self.dir / name / top
        mini_kernel(tree)
        path = self.mirror / name
        with tarfile.open(path, "w:xz") as out:
            out.add(tree, top, filter=lambda info: None if info.name.endswith("/.git") else info)
        return path

    def known(self, url: str = "") -> inputs.Base:
        path = self.dir / "BASE"
        sums = {p: hashlib.sha256(getattr(self, p).read_bytes()).hexdigest()
                for p in ("full", "small")}
        path.write_text(BASE.format(url=url and f"url = {url}", **sums))
        return inputs.base(path)

    def obtain(self, known: inputs.Base) -> tuple[str, bytes]:
        """The archive of Linux that is taken: its name and what it holds."""
        return inputs.obtain(known, "linux", lambda path: None,
                             lambda found: (found.path.name, found.path.read_bytes()))

    def test_this_repository_has_a_base(self) -> None:
        known = inputs.base()
        for which in ("linux", "qemu"):
            for name, total in inputs.archives(known, which):
                self.assertRegex(total, r"^[0-9a-f]{64}$", name)

    def test_no_such_archive(self) -> None:
        with self.assertRaisesRegex(Problem, "no such archive: /nowhere/linux.tar"):
            kernel.source(self.known(), "/nowhere/linux.tar")

    def test_nothing_to_be_had(self) -> None:
        with self.assertRaisesRegex(Problem, "no source of linux 7.3.*linux-7.3.tar.xz.*--linux"):
            self.obtain(self.known())

    def test_wrong_checksum(self) -> None:
        known = self.known()
        with self.full.open("ab") as out:
            out.write(b"x")
        with self.assertRaisesRegex(Problem, "linux-7.3.tar.xz has the wrong checksum"):
            kernel.source(known, str(self.full))
        with mock.patch.dict(os.environ, {"KPKEYS_DISTFILES": str(self.mirror)}):
            with self.assertRaisesRegex(Problem, "wrong checksum"):
                kernel.source(known, None)

    def test_distfiles_must_be_a_directory(self) -> None:
        with mock.patch.dict(os.environ, {"KPKEYS_DISTFILES": str(self.full)}):
            with self.assertRaisesRegex(Problem, "not a directory"):
                self.obtain(self.known())

    def test_the_same_base_for_the_same_content(self) -> None:
        known = self.known()
        first = kernel.source(known, str(self.full))
        second = kernel.source(known, str(self.small))
        self.assertNotEqual(first.tree, second.tree)
        self.assertEqual(first.commit, second.commit)
        self.assertEqual(first.name, "Linux 7.3.0-rc7")

    def test_a_directory_is_copied(self) -> None:
        plain = self.dir / "linux-7.3.tar.xz" / "linux-7.3"
        series.git(plain, "tag", "a-ref")
        from_git = kernel.source(self.known(), f"{plain}#a-ref")
        with mock.patch.object(Path, "exists", return_value=False):
            self.assertNotEqual(from_git.tree, plain)
        self.assertEqual(from_git.commit, kernel.source(self.known(), str(self.full)).commit)

    def test_a_tree_with_the_series_is_built_as_it_stands(self) -> None:
        plain = self.dir / "linux-7.3.tar.xz" / "linux-7.3"
        (plain / "include/linux").mkdir(parents=True)
        (plain / "include/linux/kpkeys.h").touch()
        found = kernel.source(self.known(), str(plain))
        self.assertEqual((found.tree, found.commit), (plain, None))

    def test_the_cut_down_tree_comes_last_and_says_so(self) -> None:
        known = self.known()
        with mock.patch.dict(os.environ, {"KPKEYS_DISTFILES": str(self.mirror)}):
            self.assertEqual(self.obtain(known)[0], self.full.name)
            self.full.unlink()
            self.assertEqual(self.obtain(known)[0], self.small.name)
        self.assertIn("cut-down", self.screen.getvalue())

    def test_download(self) -> None:
        self.assertEqual(self.obtain(self.known(f"{self.serve(self.mirror)}/linux-7.3.tar.xz")),
                         (self.full.name, self.full.read_bytes()))
        self.assertEqual(list((cache.root() / "archives").iterdir()), [])

    def test_download_with_a_wrong_checksum_leaves_nothing(self) -> None:
        known = self.known(f"{self.serve(self.mirror)}/linux-7.3.tar.xz")
        with self.full.open("ab") as out:
            out.write(b"x")
        with self.assertRaisesRegex(Problem, "wrong checksum"):
            self.obtain(known)
        self.assertEqual(list((cache.root() / "archives").iterdir()), [])

    def test_a_host_that_does_not_answer_is_passed_over(self) -> None:
        known = self.known("http://127.0.0.1:9/linux-7.3.tar.xz")
        with mock.patch.dict(os.environ, {"KPKEYS_DISTFILES": str(self.mirror)}):
            self.full.rename(self.dir / "gone")
            self.assertEqual(self.obtain(known)[0], self.small.name)

    def test_not_linux(self) -> None:
        (self.dir / "empty").mkdir()
        with self.assertRaisesRegex(Problem, "empty is not a Linux source tree"):
            kernel.source(self.known(), str(self.dir / "empty"))

    def test_wrong_version(self) -> None:
        plain = self.dir / "linux-7.3.tar.xz" / "linux-7.3"
        makefile = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\nEXTRAVERSION =\n"
        (plain / "Makefile").write_text(makefile)
        with self.assertRaisesRegex(Problem, "is Linux 6.12, the series is made for 7.3"):
            kernel.source(self.known(), str(plain))

    def test_another_point_release_of_the_series(self) -> None:
        plain = self.dir / "linux-7.3.tar.xz" / "linux-7.3"
        edit(plain / "Makefile", "SUBLEVEL = 0\nEXTRAVERSION = -rc7", "SUBLEVEL = 9\nEXTRAVERSION =")
        commit(plain, "7.3.9")
        found = kernel.source(self.known(), str(plain))
        self.assertEqual((found.name, found.origin), ("Linux 7.3.9", str(plain)))

    def test_an_archive_that_is_not_linux_leaves_nothing(self) -> None:
        (self.dir / "other").mkdir()
        path = self.dir / "other.tar"
        with tarfile.open(path, "w") as out:
            out.add(self.dir / "other", "other")
        with self.assertRaisesRegex(Problem, "not a Linux source tree"):
            kernel.source(self.known(), str(path))
        entries = [p.name for p in (cache.root() / "linux").iterdir()]
        self.assertTrue(all(name.endswith(".partial") for name in entries), entries)

    def test_an_archive_that_is_broken(self) -> None:
        path = self.dir / "broken.tar.xz"
        path.write_bytes(self.full.read_bytes()[:200])
        with self.assertRaisesRegex(Problem, "unpacking broken.tar.xz failed"):
            kernel.source(self.known(), str(path))
