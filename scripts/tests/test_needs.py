# SPDX-License-Identifier: GPL-2.0
"""What is installed: it is listed before, only if the user wants it, and README says it, too."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import threading
from pathlib import Path
from unittest import mock

from kpkeyslib import aptsrc, cli, inputs, kernel, needs, qemu
from kpkeyslib.term import DiskFull, Problem

from .support import Scratch

GAPS = {"flex": "flex", "gcc:stdio.h": "libc6-dev"}


class Machine(Scratch):
    """A bare machine with stand-ins for apt and sudo, which note what they are told to do."""

    def setUp(self) -> None:
        super().setUp()
        self.told = self.dir / "told"
        for name in ("apt-get", "dpkg-query"):
            self.tool(name, f"echo {name} $DEBIAN_FRONTEND $@ >>{self.told}")
        path = mock.patch.dict(os.environ, {"PATH": f"{self.dir / 'bin'}:{os.environ['PATH']}"})
        self.has = mock.patch.object(needs, "_has", side_effect=self.there)
        for change in (path, self.has, mock.patch.object(needs, "_may_install", True),
                       mock.patch.object(os, "geteuid", return_value=0)):
            change.start()
            self.addCleanup(change.stop)

    def there(self, thing: str) -> bool:
        return thing not in GAPS or " install " in self.text()

    def text(self) -> str:
        return self.told.read_text() if self.told.exists() else ""

    def tool(self, name: str, text: str) -> None:
        path = self.dir / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def command(self, *argv: str) -> tuple[int, str]:
        text = io.StringIO()
        with contextlib.redirect_stderr(text):
            return cli.main(list(argv)), text.getvalue()


class Installing(Machine):
    def test_it_is_listed_before(self) -> None:
        self.tool("apt-get", f"cp {self.dir}/screen {self.dir}/before; echo $@ >>{self.told}")
        real = self.screen.write

        def write(text: str) -> int:
            with (self.dir / "screen").open("a") as out:
                out.write(text)
            return real(text)

        with mock.patch.object(self.screen, "write", write):
            needs.ensure("build")
        before = (self.dir / "before").read_text()
        self.assertIn("Installing what is missing: apt-get install --no-install-recommends flex"
                      " libc6-dev\n", before)
        self.assertRegex(self.text(), r"update\n.* install --no-install-recommends flex libc6-dev")

    def test_no_install(self) -> None:
        for argv in (["setup"], ["run"], ["test"], ["bench"], ["check"]):
            with mock.patch.object(aptsrc, "install", side_effect=AssertionError):
                status, error = self.command(*argv, "--no-install")
            self.assertEqual((status, error.count("\n")), (2, 1), error)
            self.assertIn("apt-get install --no-install-recommends flex libc6-dev", error)
        self.assertEqual(self.text(), "")

    def test_no_install_of_what_only_one_command_needs(self) -> None:
        """Nor of what only a later step needs."""
        for argv, thing, package in ((["docs"], "sphinx-build", "python3-sphinx"),
                                     (["check"], "fossil", "fossil"),
                                     (["check"], "riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu"),
                                     (["tree"], "xz", "xz-utils"),
                                     (["refresh"], "git", "git"),
                                     (["run"], "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
                                     (["test", "--full"], "gcc:openssl/opensslv.h", "libssl-dev")):
            with self.subTest(argv), mock.patch.dict(GAPS, {thing: package}, clear=True), \
                    mock.patch.object(needs.platform, "machine", return_value="x86_64"):
                status, error = self.command(*argv, "--no-install")
                self.assertEqual((status, error.count("\n")), (2, 1), error)
                self.assertTrue(error.endswith(f"install --no-install-recommends {package}\n"),
                                error)
        self.assertEqual(self.text(), "")

    def test_a_part_of_the_tests_does_not_need_the_rest(self) -> None:
        with mock.patch.dict(GAPS, {"gcc:openssl/opensslv.h": "libssl-dev"}, clear=True), \
                mock.patch("kpkeyslib.suite._run"), mock.patch("kpkeyslib.results.write"):
            self.assertEqual(self.command("test", "--no-install")[0], 0)

    def test_debians_configuration_asks_too(self) -> None:
        needs.choose(False)
        with mock.patch.dict(GAPS, {"gcc:libelf.h": "libelf-dev"}, clear=True), \
                mock.patch.object(kernel, "compiler", return_value="gcc"):
            with self.assertRaisesRegex(Problem, "--no-install .* libelf-dev$"):
                kernel.build_from(mock.Mock(), kernel.DEBIAN)

    def test_neither_root_nor_sudo(self) -> None:
        (self.dir / "bin/sh").symlink_to("/bin/sh")
        with mock.patch.object(os, "geteuid", return_value=1000), \
                mock.patch.dict(os.environ, {"PATH": str(self.dir / "bin")}):
            status, error = self.command("run")
        self.assertEqual((status, error.count("\n")), (2, 1), error)
        self.assertRegex(error, "there is no sudo; as root: apt-get install .*flex libc6-dev$")

    def test_sudo_that_is_not_allowed(self) -> None:
        self.tool("sudo", "echo sudo: a password is required; exit 1")
        with mock.patch.object(os, "geteuid", return_value=1000):
            status, error = self.command("run")
        self.assertEqual((status, error.count("\n")), (2, 1), error)
        self.assertIn("sudo: a password is required", error)
        self.assertIn("Installing what is missing: sudo apt-get", self.screen.getvalue())

    def test_sudo_can_ask(self) -> None:
        """It reads the password from the terminal, which only this session has."""
        self.tool("sudo", f"cut -d\" \" -f6 /proc/$$/stat >{self.dir}/session; exec \"$@\"")
        with mock.patch.object(os, "geteuid", return_value=1000), \
                mock.patch("sys.stdin.isatty", return_value=True):
            needs.ensure("build")
        self.assertEqual(int((self.dir / "session").read_text()), os.getsid(0))

    def test_two_at_once_install_once(self) -> None:
        self.tool("apt-get", f"sleep 0.3; echo $@ >>{self.told}")
        threads = [threading.Thread(target=needs.ensure, args=("build",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        self.assertEqual(self.text().count(" install "), 1)

    def test_no_network(self) -> None:
        self.tool("apt-get", "echo 'E: Failed to fetch http://x/ Could not resolve x'; exit 100")
        status, error = self.command("run")
        self.assertEqual((status, error.count("\n")), (2, 1), error)
        self.assertIn("apt-get install: E: Failed to fetch http://x/ Could not resolve x", error)

    def test_another_site_that_is_away_does_not_matter(self) -> None:
        self.tool("apt-get", f"case \"$@\" in *update) echo 'E: no site'; exit 100;; esac\n"
                             f"echo $@ >>{self.told}")
        needs.ensure("build")
        self.assertIn(" install ", self.text())

    def test_no_room_for_packages(self) -> None:
        self.tool("apt-get", "echo \"E: You don't have enough free space in /var/\"; exit 100")
        with self.assertRaisesRegex(DiskFull, "the disk is full"):
            needs.ensure("build")


class Readme(Scratch):
    def listed(self) -> dict[str, set[str]]:
        text = (inputs.REPO / "README.md").read_text()
        table = re.search(r"^    run, test, bench .*?\n\n", text, re.M | re.S)
        assert table, "README has no table of packages"
        rows = re.sub(r"\n {20,}", " ", table[0]).strip().splitlines()
        return {name.strip(): set(packages.removesuffix("besides").replace(",", "").split())
                for name, packages in
                (re.split(r"  +", row.strip(), maxsplit=1) for row in rows)}

    def test_it_lists_what_is_installed(self) -> None:
        wanted = {"run, test, bench": ("build", "cross"), "check": ("check", "docs"),
                  "test --full": ("debian",), "docs": ("docs",), "tree": ("tree",)}
        self.assertEqual(self.listed(), {
            name: {package for part in parts for package in needs.NEEDS[part].values()}
            for name, parts in wanted.items()})

    def test_what_is_there_first(self) -> None:
        """The command itself runs on what README has the user install."""
        text = (inputs.REPO / "README.md").read_text()
        self.assertTrue("apt-get install git python3" in text)


class Meson(Scratch):
    def test_what_a_killed_download_left(self) -> None:
        """apt does not fetch what lies there already, and dpkg-deb does not take half of it."""
        deb = self.dir / "meson.deb"
        tree = self.dir / "deb"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/lib/python3/dist-packages/mesonbuild").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text("Package: meson\nVersion: 1.7\nArchitecture: all\n"
                                             "Maintainer: a <a@b>\nDescription: none\n")
        subprocess.run(["dpkg-deb", "-b", tree, deb], check=True, capture_output=True)

        def fetch(package: str, wanted: object, into: Path, **more: object) -> Path:
            self.assertFalse(into.exists())
            into.mkdir()
            return Path(deb.rename(into / deb.name))

        (self.dir / "into/meson.new/usr").mkdir(parents=True)
        with mock.patch.object(aptsrc, "fetch", fetch), \
                mock.patch("shutil.which", return_value=None):
            env = qemu._meson(self.dir / "into")
        self.assertIn("into/meson/usr/lib/python3/dist-packages", env["PYTHONPATH"])
