# SPDX-License-Identifier: GPL-2.0
"""'kpkeys check': what a reviewer would run on the series, patch by patch."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from . import (aptsrc, boot, cache, demo, docs, figures, guest, inputs, kernel, needs, patchtests,
               proc, qemu, series)
from .term import Problem, Progress, say

LOGS = inputs.REPO / "build" / "check"
# From this patch on there is something to switch on
ENABLED = "arm64-Enable-kpkeys_hardened_pgtables"
# Of sparse: each trace event that shows GFP flags exceeds what it can expand
ARGUED = ("include/trace/events/kpkeys.h: error: too long token expansion",)
# Of sparse, which does not see that a guard releases its lock. Only older kernels ask it to, and
# their BASE says so
GUARDS = "warning: context imbalance in"
# Files that have no entry in the base's MAINTAINERS
NOBODYS = ("MAINTAINERS", "include/linux/cleanup.h", "include/linux/linkage.h",
           "include/linux/pgtable.h", "include/linux/set_memory.h")
# Compiled to something else, or with KASAN only, which these kernels do not have
NOT_COMPILED = re.compile("asm-offsets|kasan")


class Build(NamedTuple):
    """Objects to compile with all warnings: an architecture, and how it is configured."""

    name: str
    arch: str
    prefix: str
    config: str  # of the architecture, or none if the fragments are all
    fragments: tuple[str, ...]  # in configs/
    added: tuple[str, ...]  # and more of them with the series
    files: Callable[[str], bool]  # those that it compiles


def _generic(file: str) -> bool:
    return not file.startswith("arch/")


def _arm64(file: str) -> bool:
    return file.startswith("arch/arm64/") or _generic(file)


_CROSS = needs.cross_prefix()
BUILDS = (
    Build("arm64, on", "arm64", _CROSS, "", ("base.config",), (".kunitconfig",), _arm64),
    Build("arm64, configured out", "arm64", _CROSS, "", ("base.config",), (), _arm64),
    Build("x86_64 defconfig", "x86_64", "x86_64-linux-gnu-", "x86_64_defconfig",
          ("generic.config",), (), _generic),
    Build("riscv defconfig", "riscv", "riscv64-linux-gnu-", "defconfig",
          ("generic.config",), (), _generic),
)


class Series(NamedTuple):
    """What is checked: a base, its patches and their commits."""

    source: kernel.Source
    base: str
    files: list[Path]
    commits: list[str]


def _read(known: inputs.Base, linux: str | None) -> Series:
    source = kernel.source(known, linux)
    if source.commit is None:
        raise Problem(f"{source.tree} has the series already; check takes a base")
    files = series.patches()
    head = series.commits(source.tree, source.commit, files)
    made = series.git(source.tree, "rev-list", "--reverse", f"{source.commit}..{head}").split()
    if len(made) != len(files):
        raise Problem(f"{len(files)} patches make {len(made)} commits; each should make one")
    # For what checkpatch.pl looks up in the tree. Another command may check out another commit then
    with cache.lock(f"linux/{source.tree.parent.name}"):
        series.checkout(source.tree, head)
    return Series(source, source.commit, files, made)


# ---- each patch ----

def _kernel_doc(all_: Series, index: int) -> list[str]:
    """Warnings about comments of the files that a patch leaves behind, if they are new."""
    file, commit = all_.files[index], all_.commits[index]
    tool = all_.source.tree / "scripts/kernel-doc"
    names = [name for name in series.touched([file]) if name.endswith((".c", ".h"))]

    def warnings(rev: str) -> set[str]:
        found = set()
        with tempfile.TemporaryDirectory() as scratch:
            for name in names:
                try:
                    text = series.git(all_.source.tree, "show", f"{rev}:{name}")
                except Problem:
                    continue  # not there (yet)
                path = Path(scratch) / Path(name).name
                path.write_text(text)
                output = proc.output(["sh", "-c", '"$0" -none -Wall "$1" 2>&1 || true', tool, path],
                                     "kernel-doc")
                found |= {f"{name}: {text}" for text in
                          re.findall(r":\d+:? (?:warning: )?(.*)$", output, re.M)}
        return found

    def make(partial: Path) -> None:
        new = sorted(warnings(commit) - warnings(f"{commit}^"))
        (partial / "log").write_text("\n".join(new))

    key = cache.digest([Path(__file__), tool.resolve(), file, all_.base])
    return (cache.entry("kernel-doc", key, make) / "log").read_text().splitlines()


def _people(all_: Series, file: Path, tree: Path) -> list[str]:
    """Files of a patch for which get_maintainer.pl finds nobody but those of everything."""
    script = all_.source.tree / "scripts/get_maintainer.pl"
    found = []
    for name in series.touched([file]):
        if name in NOBODYS:
            continue
        text = proc.output(["perl", script, "--no-git", "--no-git-fallback", "--no-tree",
                            "--mpath=MAINTAINERS", "--roles", "-f", name],
                           "get_maintainer.pl", cwd=tree)
        if not re.search(r"\((maintainer|supporter):(?!THE REST)", text):
            found.append(f"get_maintainer.pl: nobody looks after {name}")
    return found


def _patch(all_: Series, index: int, tree: Path) -> list[str]:
    file = all_.files[index]
    remarks = [f"checkpatch: {line}" for line in patchtests.checkpatch(all_.source.tree, file)
               if not patchtests.argued(line)]
    return [*remarks, *(f"kernel-doc: {line}" for line in _kernel_doc(all_, index)),
            *_people(all_, file, tree)]


# ---- the series as a whole ----

def _written(all_: Series) -> list[str]:
    """Is patches/ what 'tree' and 'refresh' write?"""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        home = inputs.home()
        shutil.copytree(home / "patches", copy / "patches")
        with series.sparse_tree(all_.source.tree, all_.commits[-1], all_.files) as tree:
            series.write(tree, copy)
        pairs = [(copy / "series", home / "series"),
                 *((path, home / "patches" / path.name) for path in (copy / "patches").iterdir())]
        return [f"{old.name} is not what 'kpkeys refresh' writes" for new, old in pairs
                if not old.exists() or old.read_bytes() != new.read_bytes()]


def remarks(text: str) -> set[str]:
    """What a build says of files, without where in them: that is not the same on the base."""
    return {f"{found[1]}: {found[2]}" for found in re.finditer(
        r"((?:arch|mm|include|drivers|kernel|lib|security)/\S+\.[chS]):[\d:]+ "
        r"((?:warning|error): .*)$", text, re.M)}


def _sparse(tree: Path) -> Path:
    """A sparse that knows this kernel's language: the system's, or a newer one."""
    valid = tree / "scripts/checker-valid.sh"
    found = shutil.which("sparse")
    if found and valid.exists():
        good = proc.output(["sh", valid, found], "checker-valid.sh").strip() == "1"
    else:
        # Older kernels do not ask; what they pass to it for riscv takes a newer one all the same
        version = re.findall(r"\d+", proc.output([found, "--version"], "sparse")) if found else []
        good = [int(number) for number in version[:3]] >= [0, 6, 5]
    if found and good:
        return Path(found)

    def make(partial: Path) -> None:
        archive = aptsrc.fetch("sparse", re.compile(r"0\.(6\.[5-9]|[7-9])|[1-9]"), partial,
                               kind="deb-src", suites=("unstable", "testing"))
        if archive is None:
            raise Problem("sparse is missing, or too old for this kernel; install 0.6.5 or later")
        unpacked = inputs.unpack(archive, partial, archive.name)
        proc.run(["make", "-C", unpacked, "sparse"], partial / "build.log", "building sparse")
        shutil.copy2(unpacked / "sparse", partial / "sparse")
        shutil.rmtree(unpacked)
        archive.unlink()

    return cache.entry("sparse", "0.6.5", make) / "sparse"


def _warnings(all_: Series, build: Build, commit: str, added: bool, names: list[str],
              log: Path) -> set[str]:
    """What the compiler (W=1) and sparse say of the files; a Problem if one does not compile."""
    tree = all_.source.tree
    sparse = _sparse(tree)
    objects = cache.root() / "obj" / cache.digest(["check", build.name, all_.base])
    env = {"ARCH": build.arch, "CROSS_COMPILE": build.prefix}
    make = ["make", f"-j{len(os.sched_getaffinity(0))}", "-C", tree, f"O={objects}",
            *(f"{key}={value}" for key, value in env.items())]
    fragments = kernel.configs(*build.fragments, *(build.added if added else ()))
    log.unlink(missing_ok=True)
    with cache.lock(f"linux/{tree.parent.name}"), kernel.making(objects):
        series.checkout(tree, commit)
        if build.config:
            proc.run([*make, build.config], log, "configuring")
            fragments.insert(0, objects / ".config")
        proc.run(["scripts/kconfig/merge_config.sh", "-Q", "-O", objects, *fragments], log,
                 "merge_config.sh", cwd=tree, env=env)
        proc.run([*make, "prepare"], log, f"{build.name}: make prepare")
        wanted = []
        for name in names:
            if (tree / name).exists():
                wanted.append(name[:-1] + "o")
                (objects / wanted[-1]).unlink(missing_ok=True)
        proc.run([*make, "-k", "W=1", "C=1", f"CHECK={sparse}", *wanted], log,
                 f"{build.name}: make W=1 C=1")
    if "not available or not up to date" in log.read_text(errors="replace"):
        raise Problem(f"{build.name}: make does not take {sparse}, see {log}")
    return remarks(log.read_text(errors="replace"))


def _compiles(all_: Series, build: Build) -> list[str]:
    """New warnings in what the series touches."""
    names = [name for name in series.touched(all_.files)
             if name.endswith(".c") and build.files(name) and not NOT_COMPILED.search(name)]
    if not build.added:
        # What is new is for those who have kpkeys
        names = [name for name in names if series.exists(all_.source.tree, all_.base, name)]
    fragments = kernel.configs(*build.fragments, *build.added)
    key = [Path(__file__), all_.base, build.name, *fragments, kernel.compiler()]

    def warnings(kind: str, commit: str, added: bool, files: list[Path]) -> set[str]:
        def make(partial: Path) -> None:
            log = LOGS / f"{re.sub(r'[^a-z0-9]+', '-', build.name)}-{kind}.log"
            progress = Progress(f"Compiling for {build.name}, {kind}")
            found = _warnings(all_, build, commit, added, names, log)
            (partial / "warnings").write_text("\n".join(sorted(found)))
            progress.done()

        entry = cache.entry("warnings", cache.digest([*key, kind, *names, *files]), make)
        return set((entry / "warnings").read_text().splitlines())

    old = warnings("base", all_.base, False, [])
    new = warnings("series", all_.commits[-1], True, all_.files)
    return sorted(text for text in new - old - set(ARGUED)
                  if inputs.has("guards-for-sparse") or GUARDS not in text)


# ---- each patch alone ----

def _boots(all_: Series, known: inputs.Base, index: int, linux: str | None,
           binary: str | None) -> list[str]:
    """Does the kernel with the patches up to this one build and boot, on and off?"""
    files = all_.files[:index + 1]
    able = any(ENABLED in file.name for file in files)
    kind = kernel.Kind(("base.config", *(["protected.config"] if able else [])), lambda: files,
                       tuple(f"demo/{name}" for name in kernel.MODULES), guest=True)
    built = kernel.build(known, linux, kind=kind)
    emulator = qemu.find(known, binary)
    found = []
    for mode in (boot.LAZY, boot.BLOCKS):
        for on in (True, False) if able else (False,):
            append = f"{demo.SWITCH}={'on' if on else 'off'} kpkeys_demo=run"
            log = LOGS / f"{all_.files[index].stem}-{'on' if on else 'off'}-{mode.name[-10:]}.log"
            result = boot.run(boot.command(emulator.binary, mode, built.image,
                                           guest.initramfs(built), append), log)
            total = demo.select(demo.records(result.console), "summary")
            wrong = demo.verdict(result)
            refused = total and total[-1]["refused"] not in ("0", "3")
            if wrong:
                found.append(f"{mode.name}, {'on' if on else 'off'}: {wrong}, see {log}")
            elif on and not refused:
                found.append(f"{mode.name}, on: no write was refused, see {log}")
    return found


def _lines(known: inputs.Base, linux: str | None, binary: str | None, bisect: bool
           ) -> Iterator[tuple[str, list[str]]]:
    """Each check: its name, and what is to be mended."""
    all_ = _read(known, linux)
    yield f"git am, without fuzz: {len(all_.files)} patches", []
    moved = patchtests.quilt(all_.source.tree, all_.base, LOGS / "quilt.log")
    yield "quilt, without fuzz", [moved] if moved else []
    # get_maintainer.pl wants the files to be there
    with series.sparse_tree(all_.source.tree, all_.commits[-1], all_.files) as tree:
        for index, file in enumerate(all_.files):
            yield file.stem, _patch(all_, index, tree)
    yield "patches/ is what tree and refresh write", _written(all_)
    if not inputs.option():
        # Documents are about the base at the top
        yield "documents: figures are those of results, and these of the patches", figures.stale()
    yield "documents: HTML without warnings, pictures as committed", docs.remarks()
    for build in BUILDS:
        yield f"no new warning (W=1, sparse): {build.name}", _compiles(all_, build)
    for index, file in enumerate(all_.files) if bisect else ():
        yield f"builds and boots: {file.stem}", _boots(all_, known, index, linux, binary)


def run(known: inputs.Base, linux: str | None, binary: str | None, bisect: bool) -> int:
    needs.ensure("build", "check", "docs")
    LOGS.mkdir(parents=True, exist_ok=True)
    with cache.lock("check", LOGS):
        return _run(known, linux, binary, bisect)


def _run(known: inputs.Base, linux: str | None, binary: str | None, bisect: bool) -> int:
    passed = failed = 0
    for name, problems in _lines(known, linux, binary, bisect):
        passed += not problems
        failed += bool(problems)
        say(f"{'not ok' if problems else 'ok    '} {name}")
        for text in problems:
            say(f"       {text}")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
