# SPDX-License-Identifier: GPL-2.0
"""The emulator: the user's if it has POE, else QEMU built with our patches."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from . import aptsrc, cache, guest, inputs, proc, series
from .term import Problem, Progress, say

PATCHES = inputs.REPO / "qemu"
T = TypeVar("T")
_MESON = re.compile(r"(1\.([5-9]|\d\d)|[2-9]\.)")
_CONFIGURE = [
    "--target-list=aarch64-softmmu", "--with-devices-aarch64=minimal",
    "--without-default-features", "--enable-tcg", "--enable-fdt=system", "--enable-plugins",
    "--disable-docs", "--disable-install-blobs", "--disable-download", "--disable-debug-info",
]
# Debian's +ds archive lacks these; meson wants to see them, nothing reads them.
_BLOBS = [
    f"edk2-{name}.fd.bz2" for name in (
        "aarch64-code", "arm-code", "arm-vars", "i386-code", "i386-secure-code", "i386-vars",
        "loongarch64-code", "loongarch64-vars", "riscv-code", "riscv-vars", "x86_64-code",
        "x86_64-secure-code")
]


class Emulator(NamedTuple):
    """A QEMU with POE, and what it is called on the screen."""

    binary: Path
    name: str
    lazy: bool
    origin: str  # the archive that it was built from, or where it was found


def probe(binary: Path, poetest: Path, cpu: str = "max") -> str:
    """Empty if the bare-metal test finds POE in this QEMU, else what it says."""
    argv = [binary, "-M", "virt", "-cpu", cpu, "-display", "none", "-nodefaults",
            "-serial", "stdio", "-kernel", poetest,
            "-semihosting-config", "enable=on,target=native,arg=poetest,arg=probe"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=30, check=False)
    except OSError as err:
        return str(err)
    except subprocess.TimeoutExpired:
        return "the probe did not end"
    if done.returncode == 0 and "poe: present" in done.stdout:
        return ""
    return (done.stderr.strip() or done.stdout.strip() or "no answer").splitlines()[-1]


def _version(binary: Path) -> str:
    return proc.output([binary, "--version"], str(binary)).splitlines()[0]


def _meson(into: Path) -> dict[str, str]:
    """The environment in which QEMU's configure finds meson and what else it insists on."""
    found = shutil.which("meson")
    paths = []
    if not found or not _MESON.match(proc.output([found, "--version"], "meson")):
        if not (into / "meson").is_dir():
            cache.discard(into / "meson.new")
            deb = aptsrc.fetch("meson", _MESON, into / "meson.new",
                               suites=("stable", "testing", "unstable"))
            if deb is None:
                raise Problem("meson 1.5 or later is missing on this system, install it and run"
                              " the command again")
            proc.run(["dpkg-deb", "-x", deb, into / "meson.new"], into / "log", "unpacking meson")
            (into / "meson.new").rename(into / "meson")
        paths.append(into / "meson/usr/lib/python3/dist-packages")
    # A test helper that configure asks for by name; only QEMU's own tests use it.
    info = into / "stand-in" / "pycotap-1.3.1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pycotap\nVersion: 1.3.1\n")
    paths.append(info.parent)
    return {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def _patched_tree(archive: Path, partial: Path) -> Path:
    """The tree of an archive with our patches applied."""
    for name in ("unpack", "build"):
        cache.discard(partial / name)
    (partial / "unpack").mkdir()
    tree = inputs.unpack(archive, partial / "unpack", archive.name)
    if not (tree / "VERSION").is_file():
        raise Problem(f"{archive.name} is no QEMU")
    log = partial / "quilt.log"
    log.unlink(missing_ok=True)
    try:
        proc.run(["quilt", "--quiltrc=-", "push", "-a", "--fuzz=0"], log, "qemu/patches", cwd=tree,
                 env={"QUILT_PATCHES": str(PATCHES / "patches"),
                      "QUILT_SERIES": str(PATCHES / "series")})
    except Problem:
        text = log.read_text(errors="replace")
        patch = re.findall(r"^Patch (\S+) does not apply", text, re.M)
        files = re.findall(r"^patching file (\S+)", text, re.M)
        if patch and files:
            raise Problem(f"qemu/patches/{Path(patch[-1]).name} does not apply to {archive.name}:"
                          f" {files[-1]}") from None
        raise
    return tree


def _obtain(known: inputs.Base, take: Callable[[inputs.Found], T]) -> T:
    files = series.patches(PATCHES / "series")
    return inputs.obtain(known, "qemu", lambda path: series.try_on(path, files), take)


def _patched_source(known: inputs.Base, partial: Path) -> Path:
    source = partial / "src"
    if source.is_dir():
        return source
    def take(found: inputs.Found) -> Path:
        tree = _patched_tree(found.path, partial)
        (partial / "archive").write_text(f"{found.path.name}|{found.other}")
        return tree

    tree = _obtain(known, take)
    blobs = [tree / "pc-bios" / name for name in _BLOBS]
    blobs += [source.with_suffix(".dtb") for source in (tree / "pc-bios/dtb").glob("*.dts")]
    for blob in blobs:
        if not blob.exists():
            blob.touch()
    tree.rename(source)
    return source


def build(known: inputs.Base) -> Path:
    """QEMU with our patches, from the archive that BASE names."""

    def make(partial: Path) -> None:
        cache.need_space(2.5e9)
        source = _patched_source(known, partial)
        env = _meson(partial)
        log = partial / "build.log"
        objects = partial / "build"
        version = (source / "VERSION").read_text().strip()
        progress = Progress(f"Building QEMU {version} with POE")
        configured = objects / "kpkeys-configured"
        if not configured.exists():
            cache.discard(objects)
            objects.mkdir()
            proc.run([source / "configure", f"--python={sys.executable}", *_CONFIGURE], log,
                     "QEMU configure", cwd=objects, env=env)
            configured.touch()

        def state(line: str) -> str | None:
            return line.strip() if line.startswith("[") else None

        proc.run(["ninja", "-C", objects, "qemu-system-aarch64"], log, "QEMU build", env=env,
                 progress=progress, state=state)
        progress.done()
        shutil.copy2(objects / "qemu-system-aarch64", partial)
        for name in ("src", "build", "unpack", "meson", "stand-in"):
            cache.discard(partial / name)

    key = cache.digest([known["qemu"]["version"], PATCHES / "patches", PATCHES / "series",
                        *_CONFIGURE])
    return cache.entry("qemu", key, make, resume=True) / "qemu-system-aarch64"


def _built_from(known: inputs.Base, entry: Path) -> tuple[str, str]:
    """The archive of a QEMU that was built here, and which version it is if not that of BASE."""
    note = entry / "archive"
    if not note.exists():
        # Built when no other one than that of BASE was taken
        return next(name for name, _ in inputs.archives(known, "qemu")), ""
    archive, _, other = note.read_text().partition("|")
    return archive, other


def header(known: inputs.Base) -> Path:
    """The directory with qemu-plugin.h, from the archive that BASE names."""

    def make(partial: Path) -> None:
        _obtain(known, lambda found: proc.run(
            ["tar", "-xvf", found.path.absolute(), "-C", partial, "--strip-components=3",
             "--wildcards", "*/include/qemu/qemu-plugin.h"], partial / "log",
            f"unpacking {found.path.name}"))

    return cache.entry("qemu-plugin", known["qemu"]["version"], make)


def find(known: inputs.Base, wanted: str | None) -> Emulator:
    """The QEMU to use: the one named, one on PATH that has all of POE, or our own."""
    poetest = guest.programs() / "poetest.elf"
    if wanted:
        binary = shutil.which(wanted)
        if not binary:
            raise Problem(f"no such QEMU: {wanted}")
        path = Path(binary).absolute()
        reason = probe(path, poetest)
        if reason:
            raise Problem(f"{wanted} has no POE ({reason}): leave out --qemu to build one that has")
        return Emulator(path, _version(path), not probe(path, poetest, "max,x-poe-lazy=on"),
                        str(path))
    binary = shutil.which("qemu-system-aarch64")
    if binary and not probe(Path(binary), poetest, "max,x-poe-lazy=on"):
        return Emulator(Path(binary), _version(Path(binary)), True, binary)
    path = build(known)
    reason = probe(path, poetest, "max,x-poe-lazy=on")
    if reason:
        raise Problem(f"the QEMU built here has no POE ({reason}): see {path.parent}")
    count = len(list((PATCHES / "patches").glob("*.patch")))
    archive, other = _built_from(known, path.parent)
    if other:
        say(inputs.instead(known, "qemu", other))
    return Emulator(path, f"{_version(path)} and {count} patches", True, archive)
