# SPDX-License-Identifier: GPL-2.0
"""Versions that come and go: what is taken, from an archive of Debian's kind of our own."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from kpkeyslib import aptsrc, cache, cli, inputs, kernel, qemu, series

from .support import Scratch, commit, edit

NAME = "linux-source-9.9"
BASE = """
[linux]
version = 9.9
release = 9.9.4
package = linux-source-9.9
suite = stable-backports
[qemu]
version = 10.2.2
package = qemu
[linux-source-9.9_9.9.4-1_all.deb]
input = linux
sha256 = {deb}
keeps = {url}/linux-source-9.9_9.9.4-1_all.deb
[linux-small.tar.gz]
input = linux
subset = yes
sha256 = {small}
[qemu_10.2.2+ds.orig.tar.xz]
input = qemu
sha256 = {qemu}
keeps = {url}/qemu_10.2.2+ds.orig.tar.xz
"""


def total(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@unittest.skipUnless(aptsrc.available(), "this system has no apt")
class Versions(Scratch):
    @classmethod
    def setUpClass(cls) -> None:
        """The series, made on Linux 9.9.4 and QEMU 10.2.2, and packages of these."""
        super().setUpClass()
        world = tempfile.TemporaryDirectory(prefix="kpkeys-")
        cls.addClassCleanup(world.cleanup)
        cls.world = Path(world.name)
        cls.named, cls.qemu_named = cls.linux("9.9.4-1"), cls.qemu("10.2.2")
        cls.small = cls.world / "small/linux-small.tar.gz"
        cls.small.parent.mkdir()
        with tarfile.open(cls.small, "w:gz") as out:
            out.add(cls.kernel_tree("9.9.4", True), "linux-small")
        for tree, file, home in ((cls.kernel_tree("9.9.4", True), "mm/memory.c", "home"),
                                 (cls.qemu_tree("10.2.2", True), "target.c", "qemu")):
            series.git(tree, "init", "--quiet")
            series.git(tree, "tag", series.BASE_TAG, commit(tree, "base"))
            edit(tree / file, "int line20;", "long line20;")
            commit(tree, "Lengthen a line")
            (cls.world / home).mkdir()
            series.write(tree, cls.world / home)

    @classmethod
    def directory(cls, *names: object) -> Path:
        path = cls.world / "-".join(map(str, names))
        path.mkdir(exist_ok=True)
        return path

    @classmethod
    def code(cls, path: Path, version: str, fits: bool) -> None:
        """A file of a version, to which the series applies or not."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # The lines of other versions are a little further down
        path.write_text(("" if version in ("9.9.4", "10.2.2") else "/* new */\n") + "".join(
            f"int {'line' if fits or n != 19 else 'row'}{n};\n" for n in range(40)))

    @classmethod
    def kernel_tree(cls, version: str, fits: bool) -> Path:
        tree = cls.directory("linux", version, fits)
        cls.code(tree / "mm/memory.c", version, fits)
        (tree / "arch/arm64").mkdir(parents=True, exist_ok=True)
        (tree / "arch/arm64/Kconfig").write_text("config ARM64\n")
        point, _, candidate = version.removeprefix("9.9").partition("~")
        (tree / "Makefile").write_text(
            f"VERSION = 9\nPATCHLEVEL = 9\nSUBLEVEL = {point.removeprefix('.') or '0'}\n"
            f"EXTRAVERSION ={' -' + candidate if candidate else ''}\n")
        return tree

    @classmethod
    def qemu_tree(cls, version: str, fits: bool) -> Path:
        tree = cls.directory("qemu", version, fits)
        cls.code(tree / "target.c", version, fits)
        (tree / "pc-bios/dtb").mkdir(parents=True, exist_ok=True)
        (tree / "VERSION").write_text(f"{version}\n")
        return tree

    @classmethod
    def linux(cls, version: str, fits: bool = True) -> Path:
        """Debian's package of a kernel."""
        path = cls.directory("made", fits) / f"{NAME}_{version}_all.deb"
        if not path.exists():
            root = cls.directory("deb", version, fits)
            (root / "DEBIAN").mkdir()
            (root / "DEBIAN/control").write_text(
                f"Package: {NAME}\nVersion: {version}\nArchitecture: all\n"
                "Maintainer: nobody <nobody@example.org>\nDescription: a kernel\n")
            (root / "usr/src").mkdir(parents=True)
            with tarfile.open(root / f"usr/src/{NAME}.tar.gz", "w:gz") as out:
                out.add(cls.kernel_tree(version.rsplit("-", 1)[0], fits), NAME)
            subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", root, path],
                           check=True, capture_output=True)
        return path

    @classmethod
    def qemu(cls, version: str, fits: bool = True) -> Path:
        """The archive of Debian's source package of QEMU."""
        path = cls.directory("made", fits) / f"qemu_{version}+ds.orig.tar.xz"
        if not path.exists():
            with tarfile.open(path, "w:xz") as out:
                out.add(cls.qemu_tree(version, fits), f"qemu-{version}")
        return path

    def setUp(self) -> None:
        super().setUp()
        self.kept = self.dir / "kept"
        self.kept.mkdir()
        (self.dir / "BASE").write_text(BASE.format(
            deb=total(self.named), small=total(self.small), qemu=total(self.qemu_named),
            url=self.serve(self.kept)))
        self.known = inputs.base(self.dir / "BASE")
        self.sites = {"Debian": self.dir / "debian",
                      "Debian-Security": self.dir / "debian-security"}
        aptsrc._lists.cache_clear()
        for where, what, value in (
                (aptsrc, "TRUST", "trusted=yes"), (qemu, "PATCHES", self.world / "qemu"),
                (inputs, "home", lambda: self.world / "home"),
                (aptsrc, "_sites", lambda: [(f"file:{path}/", label)
                                            for label, path in self.sites.items()])):
            changed = mock.patch.object(where, what, value)
            changed.start()
            self.addCleanup(changed.stop)

    def publish(self, suite: str, *paths: Path, codename: str = "", label: str = "Debian") -> None:
        """What a suite has now; a site keeps just what its suites have."""
        root = self.sites[label]
        pool, place = root / "pool", root / "dists" / suite / "main"
        pool.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place.parent, ignore_errors=True)
        packages = sources = ""
        for path in paths:
            shutil.copy2(path, pool)
            name, version = path.name.split("_")[:2]
            size, sums = path.stat().st_size, total(path)
            if path.suffix == ".deb":
                packages += (f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
                             f"Maintainer: nobody <nobody@example.org>\nDescription: a kernel\n"
                             f"Filename: pool/{path.name}\nSize: {size}\nSHA256: {sums}\n\n")
            else:
                version = version.removesuffix(".orig.tar.xz") + "-1"
                dsc = pool / f"{name}_{version}.dsc"
                dsc.write_text(f"Format: 3.0 (quilt)\nSource: {name}\nVersion: 1:{version}\n")
                sources += (f"Package: {name}\nBinary: {name}\nVersion: 1:{version}\n"
                            "Maintainer: nobody <nobody@example.org>\nArchitecture: any\n"
                            "Format: 3.0 (quilt)\nDirectory: pool\nChecksums-Sha256:\n"
                            f" {total(dsc)} {dsc.stat().st_size} {dsc.name}\n"
                            f" {sums} {size} {path.name}\n\n")
        arch = subprocess.run(["dpkg", "--print-architecture"], check=True, text=True,
                              capture_output=True).stdout.strip()
        sums = ""
        for file, text in ((f"binary-{arch}/Packages", packages), ("source/Sources", sources)):
            (place / file).parent.mkdir(parents=True)
            (place / file).write_text(text)
            sums += f" {total(place / file)} {len(text)} main/{file}\n"
        (place.parent / "Release").write_text(
            f"Origin: Debian\nLabel: {label}\nSuite: {suite}\nCodename: {codename or suite}\n"
            f"Date: Fri, 27 Nov 2026 00:00:00 UTC\nArchitectures: {arch}\nComponents: main\n"
            f"SHA256:\n{sums}")
        aptsrc._lists.cache_clear()

    def taken(self) -> tuple[str, str]:
        """The kernel that is taken, and the archive that it is said to be from."""
        found = kernel.source(self.known, None)
        self.assertEqual(list((cache.root() / "archives").glob("*")), [])
        return found.name, found.origin

    def command(self) -> tuple[int, str]:
        """Status and error of a command that needs the kernel."""
        text = io.StringIO()
        with contextlib.redirect_stderr(text), mock.patch.object(
                cli, "_setup", lambda args: bool(kernel.source(self.known, None).name) - 1):
            return cli.main(["setup"]), text.getvalue()

    def said(self, what: str) -> int:
        return self.screen.getvalue().count(what)

    def test_what_base_names_is_taken(self) -> None:
        self.publish("unstable", self.linux("9.9.7-1"), self.named)
        self.publish("testing", self.linux("9.9.6-1"))
        self.assertEqual(self.taken(), ("Linux 9.9.4", self.named.name))
        self.assertEqual(self.said("NOTE"), 0)

    def test_the_newest_to_which_the_series_applies(self) -> None:
        self.publish("stable-backports", self.linux("9.9.5-1"))
        self.publish("unstable", self.linux("9.9.6-1"))
        self.assertEqual(self.taken(), ("Linux 9.9.6", "linux-source-9.9_9.9.6-1_all.deb"))
        self.assertEqual(self.said("NOTE: linux-source-9.9 9.9.4 is not to be had; taking"
                                   " linux-source-9.9 9.9.6-1 instead"), 1)

    def test_the_next_run_asks_nobody_and_says_it_again(self) -> None:
        self.publish("unstable", self.linux("9.9.6-1"))
        first = self.taken()
        with mock.patch.object(inputs, "obtain", side_effect=AssertionError("asked")):
            self.assertEqual(self.taken(), first)
        self.assertEqual(self.said("NOTE: "), 2)

    def test_one_to_which_the_series_does_not_apply_is_passed_over(self) -> None:
        self.publish("unstable", self.linux("9.9.7-1", fits=False), self.linux("9.9.6-1"))
        self.publish("stable", self.linux("9.9.3-1"))
        self.assertEqual(self.taken()[0], "Linux 9.9.6")
        self.publish("unstable", self.linux("9.9.7-1", fits=False))
        shutil.rmtree(cache.root() / "linux")
        self.assertEqual(self.taken()[0], "Linux 9.9.3")
        self.assertEqual(self.said("not taken: linux-source-9.9 9.9.7-1: 0001-Lengthen-a-line"
                                   ".patch does not apply: patch failed: mm/memory.c"), 2)
        # Nothing of what was passed over is left, nor was it taken into git
        kept = [path for path in (cache.root() / "linux").iterdir() if path.is_dir()]
        self.assertEqual(len(kept), 1)

    def test_a_release_is_preferred_to_a_candidate(self) -> None:
        self.publish("experimental", self.linux("9.9.6~rc1-1"), self.linux("9.9~rc7-1"))
        self.publish("stable", self.linux("9.9.3-1"))
        self.assertEqual(self.taken()[0], "Linux 9.9.3")

    def test_what_base_names_is_preferred_to_a_candidate(self) -> None:
        self.publish("experimental", self.linux("9.9~rc7-1"))
        shutil.copy2(self.named, self.kept)
        self.assertEqual(self.taken(), ("Linux 9.9.4", self.named.name))

    def test_a_candidate_if_there_is_nothing_else(self) -> None:
        self.publish("experimental", self.linux("9.9~rc7-1"))
        self.assertEqual(self.taken()[0], "Linux 9.9.0-rc7")

    def test_another_series_is_not_asked(self) -> None:
        self.publish("unstable", self.linux("9.91-1"), self.linux("9.9.3-1"))
        self.assertEqual(self.taken()[0], "Linux 9.9.3")

    def test_the_code_name_has_what_the_alias_does_not_have_yet(self) -> None:
        self.publish("stable", self.linux("9.9.2-1"), codename="karla")
        self.publish("karla", self.named)
        self.assertEqual(self.taken()[0], "Linux 9.9.4")

    def test_backports_of_the_code_name_have_what_those_of_the_alias_do_not_have_yet(self) -> None:
        self.publish("stable", codename="karla")
        self.publish("stable-backports", self.linux("9.9.2-1"), codename="karla-backports")
        self.publish("karla-backports", self.named)
        self.assertEqual(self.taken()[0], "Linux 9.9.4")

    def test_the_security_site(self) -> None:
        self.publish("stable", self.linux("9.9.2-1"), codename="karla")
        self.publish("karla-security", self.named, label="Debian-Security")
        self.assertEqual(self.taken()[0], "Linux 9.9.4")

    def test_a_version_that_is_listed_and_not_there(self) -> None:
        self.publish("unstable", self.named)
        self.publish("testing", self.linux("9.9.6-1"), self.linux("9.9.5-1"))
        for path in (self.sites["Debian"] / "pool").glob("*9.9.[46]*"):
            path.unlink()
        self.assertEqual(self.taken()[0], "Linux 9.9.5")

    def test_the_place_that_keeps_all_versions(self) -> None:
        self.publish("unstable", self.linux("9.9.6-1", fits=False))
        shutil.copy2(self.named, self.kept)
        self.assertEqual(self.taken(), ("Linux 9.9.4", self.named.name))
        self.assertEqual(self.said("NOTE"), 0)

    def test_what_that_place_has_must_be_right(self) -> None:
        (self.kept / self.named.name).write_bytes(b"something else")
        status, error = self.command()
        self.assertEqual((status, error.count("\n")), (2, 1))
        self.assertIn(f"{self.named.name}: wrong checksum", error)
        self.assertEqual(list((cache.root() / "archives").iterdir()), [])
        (self.kept / self.named.name).write_bytes(self.named.read_bytes())
        self.assertEqual(self.taken()[0], "Linux 9.9.4")

    def test_the_cut_down_tree_only_if_there_is_nothing_else(self) -> None:
        (self.kept / self.named.name).write_bytes(b"something else")
        with mock.patch.dict(os.environ, {"KPKEYS_DISTFILES": str(self.small.parent)}):
            self.assertEqual(self.taken()[1], "linux-small.tar.gz")
            self.assertEqual(self.said("using the cut-down"), 1)
            # A complete one is looked for again
            self.publish("unstable", self.linux("9.9.6-1"))
            self.assertEqual(self.taken()[0], "Linux 9.9.6")

    def test_nothing_at_all(self) -> None:
        self.publish("unstable", self.linux("9.9.7-1", fits=False),
                     self.linux("9.9.6-1", fits=False))
        status, error = self.command()
        self.assertEqual((status, error.count("\n")), (2, 1))
        self.assertRegex(error, "^kpkeys: no source of linux 9.9.4 to be had .*"
                         "9.9.7-1: 0001-.* does not apply.*9.9.6-1: .*http://.*: not available.*"
                         "put one of .* into a directory and set KPKEYS_DISTFILES")

    def test_a_cache_of_another_base_is_not_used(self) -> None:
        self.publish("unstable", self.linux("9.9~rc7-1"))
        self.taken()
        text = (self.dir / "BASE").read_text()
        (self.dir / "BASE").write_text(text.replace("= 9.9.4", "= 9.9.5"))
        self.known = inputs.base(self.dir / "BASE")
        self.publish("unstable", self.linux("9.9.5-1"))
        self.assertEqual(self.taken()[0], "Linux 9.9.5")

    def test_a_site_that_does_not_answer(self) -> None:
        self.publish("unstable", self.named)
        site = f"http://127.0.0.1:{'9'}/"
        sites = [(site, "Debian"), *aptsrc._sites()]
        with mock.patch.object(aptsrc, "_sites", return_value=sites), mock.patch.dict(
                os.environ, {"no_proxy": "127.0.0.1"}):
            self.assertEqual(self.taken()[0], "Linux 9.9.4")
        self.assertEqual(self.said("Debian stable-backports: W: Failed to fetch"), 1)

    def emulator(self) -> str:
        """The version of QEMU that our patches are put on."""
        partial = self.dir / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        tree = qemu._patched_source(self.known, partial)
        self.assertIn("long line20;", (tree / "target.c").read_text())
        version = (tree / "VERSION").read_text().strip()
        archive, other = qemu._built_from(self.known, partial)
        self.assertIn(version, archive)
        self.assertEqual(bool(other), version != "10.2.2")
        return version

    def test_qemu_as_base_names_it(self) -> None:
        self.publish("unstable", self.qemu("11.1.3"), self.qemu_named)
        self.assertEqual(self.emulator(), "10.2.2")

    def test_a_later_qemu_to_which_the_patches_apply(self) -> None:
        self.publish("unstable", self.qemu("11.2.0", fits=False), self.qemu("11.1.3"),
                     self.qemu("10.1.0"))
        self.assertEqual(self.emulator(), "11.1.3")
        self.assertEqual(self.said("NOTE: qemu 10.2.2 is not to be had; taking qemu 1:11.1.3+ds-1"
                                   " instead"), 1)

    def test_qemu_from_the_place_that_keeps_all_versions(self) -> None:
        self.publish("unstable", self.qemu("11.1.3", fits=False), self.qemu("10.1.0"))
        shutil.copy2(self.qemu_named, self.kept)
        self.assertEqual(self.emulator(), "10.2.2")
        self.assertEqual(self.said("NOTE"), 0)


