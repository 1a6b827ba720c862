# SPDX-License-Identifier: GPL-2.0
"""What the machine must have, and getting it."""

from __future__ import annotations

import platform
import shutil
import subprocess

from . import aptsrc, cache
from .term import Problem

# What is looked for, a command or what a tool must find, and the Debian package that has it
_NEEDS = {
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
    "gcc:libfdt.h": "libfdt-dev",
    "gcc:stdio.h": "libc6-dev",
    "pkg-config:glib-2.0": "libglib2.0-dev",
    "python3:ensurepip": "python3-venv",
}
_CROSS = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-gcc:stdio.h": "libc6-dev-arm64-cross",
}

# What only one command needs
_MORE = {
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
}


def cross_prefix() -> str:
    """CROSS_COMPILE for arm64 on this machine."""
    return "" if platform.machine() == "aarch64" else "aarch64-linux-gnu-"


def _has(thing: str) -> bool:
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


def missing(only: tuple[str, ...] = (), command: str = "") -> dict[str, str]:
    """What is not there, each with its Debian package."""
    wanted = {**_NEEDS, **(_CROSS if cross_prefix() else {}), **_MORE.get(command, {})}
    return {thing: package for thing, package in wanted.items()
            if (not only or thing in only) and not _has(thing)}


def ensure(*only: str, command: str = "") -> None:
    """Install what is missing of what is needed, or say exactly what that is."""
    gaps = missing(only, command)
    if not gaps:
        return
    if aptsrc.available():
        aptsrc.install(sorted(set(gaps.values())), cache.root() / "logs" / "apt.log")
        gaps = missing(only, command)
    if gaps:
        things = ", ".join(f"{thing} (Debian: {package})" for thing, package in gaps.items())
        raise Problem(f"missing on this system, install it and run the command again: {things}")
