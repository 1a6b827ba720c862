# SPDX-License-Identifier: GPL-2.0
"""What the machine must have, and getting it."""

from __future__ import annotations

import platform
import shutil
import ssl
import subprocess
from pathlib import Path

from . import aptsrc, cache
from .term import Problem, say

# For what: what is looked for, a command or what a tool must find, and the Debian package that
# has it. README lists them, too.
NEEDS = {
    "build": {
        "bc": "bc",
        "bison": "bison",
        "flex": "flex",
        "gcc": "gcc",
        "git": "git",
        "make": "make",
        "ninja": "ninja-build",
        "patch": "patch",
        "perl": "perl",
        "pkg-config": "pkg-config",
        "quilt": "quilt",
        "xz": "xz-utils",
        "certificates": "ca-certificates",
        "gcc:libfdt.h": "libfdt-dev",
        "gcc:stdio.h": "libc6-dev",
        "pkg-config:glib-2.0": "libglib2.0-dev",
        "python3:ensurepip": "python3-venv",
    },
    "cross": {
        "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
        "aarch64-linux-gnu-gcc:stdio.h": "libc6-dev-arm64-cross",
    },
    "check": {
        "x86_64-linux-gnu-gcc": "gcc-x86-64-linux-gnu",
        "riscv64-linux-gnu-gcc": "gcc-riscv64-linux-gnu",
        "gcc:libelf.h": "libelf-dev",
    },
    "debian": {
        "gcc:openssl/opensslv.h": "libssl-dev",
        "gcc:libelf.h": "libelf-dev",
    },
    "docs": {
        "sphinx-build": "python3-sphinx",
        "fossil": "fossil",  # has pikchr in it
    },
    "tree": {
        "certificates": "ca-certificates",
        "git": "git",
        "xz": "xz-utils",
    },
    "refresh": {
        "git": "git",
    },
}

_may_install = True


def choose(install: bool) -> None:
    """Whether this command may install what is missing."""
    global _may_install
    _may_install = install


def cross_prefix() -> str:
    """CROSS_COMPILE for arm64 on this machine."""
    return "" if platform.machine() == "aarch64" else "aarch64-linux-gnu-"


def _certificates() -> bool:
    """Whether there are any to check the sites of archives with."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath) and any(Path(paths.capath).iterdir())


def _has(thing: str) -> bool:
    if thing == "certificates":
        return _certificates()
    tool, _, name = thing.partition(":")
    if not shutil.which(tool):
        return False
    if not name:
        return True
    probe = {
        "pkg-config": ["--exists", name],
        "python3": ["-c", f"import {name}"],
    }.get(tool, ["-E", "-include", name, "-x", "c", "/dev/null"])
    return subprocess.run([tool, *probe], check=False, capture_output=True).returncode == 0


def missing(*parts: str) -> dict[str, str]:
    """What is not there, each with its Debian package."""
    if "build" in parts and cross_prefix():
        parts = (*parts, "cross")
    wanted = {thing: package for part in parts for thing, package in NEEDS[part].items()}
    return {thing: package for thing, package in wanted.items() if not _has(thing)}


def ensure(*parts: str) -> None:
    """Install what is missing of what these need, or say exactly what that is."""
    if not missing(*parts):
        return
    if aptsrc.available():
        # Another command may be at the same
        with cache.lock("install"):
            packages = sorted(set(missing(*parts).values()))
            how = aptsrc.command(packages)
            if packages and not _may_install:
                raise Problem(f"missing, and --no-install was given; what installs them: {how}")
            if packages:
                say(f"Installing what is missing: {how}")
                aptsrc.install(packages, cache.root() / "logs" / "apt.log")
    gaps = missing(*parts)
    if gaps:
        things = ", ".join(f"{thing} (Debian: {package})" for thing, package in gaps.items())
        raise Problem(f"missing on this system, install it and run the command again: {things}")
