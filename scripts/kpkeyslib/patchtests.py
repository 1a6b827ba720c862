# SPDX-License-Identifier: GPL-2.0
"""Tests of the patches: that they apply, and what checkpatch.pl says of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import bench, cache, inputs, kernel, proc, qemu, series
from .term import Problem
from .testcase import Setting, Skip, Test, check

_AUTHOR = {"GIT_AUTHOR_NAME": "kpkeys", "GIT_AUTHOR_EMAIL": "kpkeys@localhost"}


def _variable_level(setting: Setting, where: Path) -> str:
    log = setting.kernel.directory / kernel.VARIABLE_LEVEL
    errors = re.findall(r"error: (.*)", log.read_text())
    check(any("level must be a constant" in text for text in errors), f"see {log}")
    return errors[0]


def _base(setting: Setting) -> tuple[Path, str]:
    source = setting.kernel.source
    if source.commit is None:
        raise Skip("--linux names a tree with the series in it")
    return source.tree, source.commit


def _git_am(setting: Setting, where: Path) -> str:
    repo, commit = _base(setting)
    files = series.patches()
    with series.sparse_tree(repo, commit, files) as tree:
        # As the README says
        everything = sorted((inputs.home() / "patches").glob("*.patch"))
        series.git(tree, "am", "--quiet", *everything, what="git am")
        count = series.git(tree, "rev-list", "--count", f"{commit}..HEAD").strip()
        check(int(count) == len(files), f"{count} commits, series has {len(files)} patches")
        head = series.commits(repo, commit, files)
        check(not series.git(tree, "diff", "--stat", head), "not the tree of the build")
    with series.sparse_tree(repo, commit, bench.patches()) as tree:
        series.am(tree, bench.patches())
    return f"{len(files)} patches"


def _git_am_of_qemu(_: Setting, where: Path) -> str:
    """As the README there says, on the files of QEMU's archive that the patches touch."""
    files = series.patches(qemu.PATCHES / "series")

    def take(archive: Path, scratch: Path) -> None:
        tree = scratch / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        # Some files are new, and tar complains; if others are missing, git does
        proc.run(["sh", "-c", 'tar -xf "$0" --strip-components=1 --wildcards "$@" || true',
                  archive.absolute(), *(f"*/{name}" for name in series.touched(files))],
                 scratch / "log", f"unpacking {archive.name}", cwd=tree)
        series.git(tree, "init", "--quiet")
        series.git(tree, "add", "--all", "--force")
        series.git(tree, "commit", "--quiet", "--no-gpg-sign", "-m", "base", env=_AUTHOR)
        series.git(tree, "am", "--quiet", *sorted((qemu.PATCHES / "patches").glob("*.patch")),
                   what="git am of QEMU's patches")

    def make(partial: Path) -> None:
        inputs.obtain(inputs.base(), "qemu", lambda _: None,
                      lambda found: take(found.path, partial))
        count = series.git(partial / "tree", "rev-list", "--count", "HEAD")
        (partial / "count").write_text(f"{int(count) - 1}")
        shutil.rmtree(partial / "tree")

    key = cache.digest([Path(__file__), inputs.REPO / "BASE", *files])
    count = int((cache.entry("qemu-am", key, make) / "count").read_text())
    check(count == len(files), f"{count} commits, series has {len(files)} patches")
    return f"{count} patches"


def quilt(repo: Path, commit: str, log: Path, fit: str = r"with fuzz|\(offset") -> str:
    """Push the whole series; the first hunk that is not the fit that is wanted, if there is one."""
    env = {"QUILT_PATCHES": str(inputs.home() / "patches"),
           "QUILT_SERIES": str(inputs.home() / "series")}
    with series.sparse_tree(repo, commit, series.patches()) as tree:
        (tree / ".git").unlink()
        log.unlink(missing_ok=True)
        proc.run(["quilt", "--quiltrc=-", "push", "-a", "--fuzz=0"], log, "quilt push", cwd=tree,
                 env=env)
    moved = re.search(rf"^Hunk .*({fit}).*$", log.read_text(errors="replace"), re.M)
    return moved.group() if moved else ""


def _quilt(setting: Setting, where: Path) -> str:
    repo, commit = _base(setting)
    log, count = where / "quilt.log", f"{len(series.patches())} patches"
    if setting.kernel.source.name == f"Linux {inputs.release(inputs.base(), 'linux')}":
        moved = quilt(repo, commit, log)
        check(not moved, f"not an exact fit: {moved}")
        return count
    # Taken in place of the base, and so the lines have moved
    moved = quilt(repo, commit, log, "with fuzz")
    check(not moved, f"no fit: {moved}")
    return f"{count}, with offsets on {setting.kernel.source.name}"


def _mock(setting: Setting, where: Path) -> str:
    """The patches that are for benchmarks on hardware without POE; git allows no fuzz."""
    repo, commit = _base(setting)
    if not inputs.has("mock"):
        raise Skip(f"there is none for {setting.kernel.source.name}")
    files = sorted((inputs.REPO / "bench" / "mock").glob("*.patch"))
    check(files, "there is none in bench/mock")
    head = series.commits(repo, commit, series.patches())
    with series.sparse_tree(repo, head, files) as tree:
        series.am(tree, files)
    return f"{len(files)} patch" + "es" * (len(files) > 1)


# What checkpatch says and the series does not follow, and why
_ARGUED = (
    r"CAMELCASE",  # names that the architecture gives: PIRx_ELx_PERM_PREP and the like
    r"FILE_PATH_CHANGES",  # MAINTAINERS names the new files by pattern
    r"Reset-POR_EL1-on-exception.*LEADING_SPACE",  # the style of asm-offsets.c
    r"asm-kpkeys\.h.*ARCH_INCLUDE_LINUX",  # the header of an architecture includes its own
    r"Report-writes.*GIT_COMMIT_ID",  # addresses
    r"lkdtm.*VSPRINTF_SPECIFIER_PX",  # as all tests there
    r"tracepoints.*(OPEN_ENDED_LINE|PARENTHESIS_ALIGNMENT)",  # the style of TRACE_EVENT()
    r"arm64-Add-KUnit.*LINE_SPACING",  # NOKPROBE_SYMBOL(), to older versions
    r"Always-inline-classes.*SPACING",  # a pointer in a macro
    r"Allocate-and-free-all.*AVOID_BUG",  # it has been there, with another variable
    r"Keep-static-page-tables.*COMPLEX_MACRO",  # attributes, as of __page_aligned_bss
    r"arm64-Add-KUnit.*AVOID_EXTERNS",  # cpu_soft_restart() has no prototype in any header
)


_REMARK = re.compile(r"/([^/\n]+\.patch:\d+: .*)$", re.M)  # of checkpatch.pl --terse


def checkpatch(tree: Path, file: Path) -> list[str]:
    """All that checkpatch.pl --strict says of a patch."""
    script = tree / "scripts/checkpatch.pl"
    words = [script.with_name(name) for name in ("spelling.txt", "const_structs.checkpatch")]

    def make(partial: Path) -> None:
        argv = ["perl", script, "--strict", "--no-summary", "--terse", "--show-types",
                f"--root={tree}", file]
        try:
            # Without a git directory it leaves out spdxcheck.py, which needs further modules.
            proc.run(argv, partial / "log", "checkpatch.pl", cwd=tree, env={"GIT_DIR": "none"})
        except Problem:
            # Remarks, or is it broken?
            if not _REMARK.search((partial / "log").read_text(errors="replace")):
                raise

    key = cache.digest([Path(__file__), script, *words, file])
    log = cache.entry("checkpatch", key, make) / "log"
    return _REMARK.findall(log.read_text(errors="replace"))


def argued(remark: str) -> bool:
    return any(re.search(why, remark) for why in _ARGUED)


def _checkpatch(setting: Setting, where: Path) -> str:
    files = [*series.patches(), *bench.patches()]
    remarks = [line for file in files for line in checkpatch(setting.kernel.source.tree, file)]
    (where / "checkpatch.log").write_text("\n".join(remarks))
    open_ = [line for line in remarks if not argued(line)]
    check(not open_, "; ".join(open_))
    return f"{len(files)} patches, {len(remarks)} remarks argued for"


def tests() -> list[Test]:
    return [
        Test("series: git am", _git_am),
        Test("series: git am, of QEMU's", _git_am_of_qemu),
        Test("series: quilt, no fuzz", _quilt),
        Test("series: bench/mock applies on top", _mock),
        Test("series: checkpatch --strict", _checkpatch),
        Test("series: a kpkeys level in a variable does not compile", _variable_level),
    ]
