# SPDX-License-Identifier: GPL-2.0
"""What runs in the guest: our programs, the initramfs, a shell."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import aptsrc, cache, inputs, kernel, needs, proc
from .term import Problem

GUEST = inputs.REPO / "guest"
PROGRAMS = ("poetest.elf", "el3.bin", "init")


def programs() -> Path:
    """The directory with the guest programs."""

    def make(partial: Path) -> None:
        proc.run(["make", "-C", GUEST, f"O={partial}", *kernel.make_args(), *PROGRAMS],
                 partial / "build.log", "building the guest programs")

    return cache.entry("guest", cache.digest([GUEST, kernel.compiler(), *PROGRAMS]), make)


def busybox() -> Path:
    """A static arm64 busybox, from Debian."""

    def make(partial: Path) -> None:
        anything = re.compile("")
        deb = aptsrc.fetch("busybox-static", anything, partial, arch="arm64",
                           suites=("stable", "unstable"))
        if deb is None:
            raise Problem("the shell needs Debian's busybox-static:arm64; apt has no Debian site")
        proc.run(["dpkg-deb", "-x", deb, partial / "deb"], partial / "log", "unpacking busybox")
        found = [path for path in (partial / "deb").glob("**/bin/busybox") if path.is_file()]
        found[0].rename(partial / "busybox")
        shutil.rmtree(partial / "deb")
        deb.unlink()

    return cache.entry("busybox", "arm64", make) / "busybox"


def stress_ng() -> dict[str, Path]:
    """Debian's arm64 stress-ng and its libraries, as files of the initramfs."""

    def make(partial: Path) -> None:
        found = aptsrc.fetch_program("stress-ng", "usr/bin/stress-ng", partial / "debs", "arm64",
                                     ("stable", "unstable"), needs.cross_prefix() + "readelf")
        if found is None:
            raise Problem("this test needs Debian's stress-ng:arm64; apt has no Debian site")
        (partial / "files").mkdir()
        for name, path in found.items():
            shutil.copy2(path, partial / "files" / Path(name).name)
        shutil.rmtree(partial / "debs")

    where = cache.entry("stress-ng", "arm64", make) / "files"
    return {f"/{'bin' if path.name == 'stress-ng' else 'lib'}/{path.name}": path
            for path in sorted(where.iterdir())}


def pack(built: kernel.Kernel, files: dict[str, Path]) -> Path:
    """An initramfs with these files, and with a shell if there is a busybox among them."""

    def make(partial: Path) -> None:
        names = {f"/{name}" for name in ("bin", "dev", "proc", "sys", "tmp")}
        names |= {str(parent) for name in files for parent in Path(name).parents} - {"/"}
        lines = [f"dir {name} 0755 0 0" for name in sorted(names)]
        lines += ["nod /dev/console 0600 0 0 c 5 1"]
        lines += [f"file {name} {path} 0755 0 0" for name, path in files.items()]
        if "/bin/busybox" in files:
            lines += ["slink /bin/sh busybox 0777 0 0"]
        (partial / "list").write_text("\n".join(lines) + "\n")
        # Older ones have no option for the output
        proc.run(["sh", "-c", 'exec "$0" "$1" >"$2"', built.directory / "gen_init_cpio",
                  partial / "list", partial / "initramfs.cpio"], partial / "log", "gen_init_cpio")

    key = cache.digest([Path(__file__), *files, *files.values()])
    return cache.entry("initramfs", key, make) / "initramfs.cpio"


def initramfs(
    built: kernel.Kernel, shell: bool = False, more: dict[str, Path] | None = None
) -> Path:
    """The initramfs for one kernel: /init, the modules and, for a shell, busybox."""
    files = {"/init": programs() / "init",
             **{f"/{name}": built.directory / name for name in kernel.MODULES}}
    if shell:
        files["/bin/busybox"] = busybox()
    return pack(built, {**files, **(more or {})})
