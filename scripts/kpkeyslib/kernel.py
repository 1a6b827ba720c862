# SPDX-License-Identifier: GPL-2.0
"""The kernel: its base as a git repository, and builds of it.

The base is imported once into a repository in the cache, with a work tree. A build
checks the series out there, which touches only files that differ from the build
before, and compiles in an object directory that stays: after a change to a patch, only
what depends on it is compiled again. What a build makes is kept by content hash.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import aptsrc, cache, inputs, needs, proc, series
from .term import Problem, Progress, say

CONFIGS = inputs.REPO / "configs"
_GUEST = inputs.REPO / "guest"
MODULES = ("kpkeys_demo.ko", "kpkeys_bug.ko")
# How the compiler refused a kpkeys level that is not a constant
VARIABLE_LEVEL = Path("variable-level.log")


class Kind(NamedTuple):
    """A kind of kernel: its fragments, its patches, and what is kept of a build of it."""

    fragments: tuple[str, ...]
    patches: Callable[[], list[Path]]
    kept: tuple[str, ...]
    guest: bool = False  # with the modules for the guest


TESTED = Kind(("base.config", ".kunitconfig"), series.patches,
              (*(f"demo/{name}" for name in MODULES), f"demo/{VARIABLE_LEVEL}"), guest=True)
# The variant that has Debian's own configuration instead of ours
DEBIAN = "debian"
# The kernel without the series
BASE = Kind(("base.config",), list, tuple(f"demo/{name}" for name in MODULES), guest=True)


class Source(NamedTuple):
    """A kernel source: tree is the work tree, commit the base (None: build as it stands)."""

    tree: Path
    commit: str | None
    name: str
    origin: str = ""  # the archive, directory or repository that it came from


class Kernel(NamedTuple):
    """A built kernel."""

    image: Path
    directory: Path
    source: Source
    patches: int
    compiler: str


def check_tree(tree: Path, version: str) -> str:
    """The tree's full version; a Problem if it is not Linux, or another one than wanted."""
    try:
        text = (tree / "Makefile").read_text(errors="replace")
    except OSError:
        text = ""
    parts = [re.search(rf"^{key} *=[ \t]*(.*)$", text, re.M)
             for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION")]
    if not all(parts) or not (tree / "arch/arm64/Kconfig").is_file():
        raise Problem(f"{tree} is not a Linux source tree")
    found = [part.group(1).strip() for part in parts if part]
    if ".".join(found[:2]) != version:
        raise Problem(f"{tree} is Linux {'.'.join(found[:2])}, the series is made for {version}")
    return ".".join(found[:3]) + found[3]


def _commit_base(tree: Path, version: str) -> None:
    """Make the tree a repository of one commit, the same for the same content."""
    name = check_tree(tree, version)
    progress = Progress("Taking the base into git")
    series.git(tree, "init", "--quiet", "--initial-branch=base")
    # One pack instead of 90000 loose objects.
    series.git(tree, "-c", "core.bigFileThreshold=1", "-c", "core.looseCompression=1",
               "-c", "core.compression=1", "add", "--all", "--force", what="git add")
    who = {"GIT_AUTHOR_NAME": "Linux", "GIT_AUTHOR_EMAIL": "linux-kernel@vger.kernel.org",
           "GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z"}
    series.git(tree, "commit", "--quiet", "--no-gpg-sign", "-m", f"Linux {name}",
               env=who, what="git commit")
    series.git(tree, "tag", series.BASE_TAG)
    progress.done()


def _import(key: str, version: str, fill, origin: str) -> Source:
    def make(partial: Path) -> None:
        cache.need_space(4.5e9)
        tree = fill(partial)
        _commit_base(tree, version)
        if tree != partial / "src":
            tree.rename(partial / "src")

    tree = cache.entry("linux", key, make) / "src"
    commit = series.git(tree, "rev-parse", series.BASE_TAG).strip()
    name = series.git(tree, "log", "-1", "--format=%s", commit).strip()
    return Source(tree, commit, name, origin)


def _from_archive(path: Path, total: str, version: str) -> Source:
    return _import(total[:20], version, lambda into: inputs.unpack(path, into, path.name),
                   path.name)


def _from_git(url: str, version: str) -> Source:
    """A repository, URL#REF or a directory: its REF (HEAD) is the base."""
    where, _, ref = url.partition("#")
    listed = series.git(Path.cwd(), "ls-remote", where, ref or "HEAD", what=f"git {where}").split()
    if not listed:
        raise Problem(f"{where} has no {ref}")

    def fill(into: Path) -> Path:
        progress = Progress(f"Fetching {url}")
        series.git(into, "init", "--quiet", "fetched")
        series.git(into / "fetched", "fetch", "--quiet", "--depth=1", where, ref or "HEAD",
                   what=f"git fetch {where}")
        series.git(into / "fetched", "checkout", "--quiet", "FETCH_HEAD")
        shutil.rmtree(into / "fetched" / ".git")
        progress.done()
        return into / "fetched"

    return _import("git-" + listed[0], version, fill, url)


def _from_directory(path: Path, version: str) -> Source:
    """A plain source tree: copied, so that it is left alone."""
    key = cache.digest(
        f"{file.relative_to(path)} {state.st_size} {state.st_mtime_ns}"
        for file in sorted(path.rglob("*"))
        for state in [file.lstat()]
    )

    def fill(into: Path) -> Path:
        progress = Progress(f"Copying {path}")
        proc.run(["cp", "-a", "--reflink=auto", path, into / "copied"], into / "cp.log", "copying")
        progress.done()
        return into / "copied"

    return _import("dir-" + key, version, fill, str(path))


def source(known: inputs.Base, linux: str | None) -> Source:
    """The kernel source: what --linux names, or the base from the first place that has it."""
    version = known["linux"]["version"]
    if linux:
        path = Path(linux)
        if path.is_dir():
            path = path.resolve()
            name = check_tree(path, version)
            if (path / "include/linux/kpkeys.h").exists():
                say(f"{path} has the series already; building it as it stands")
                return Source(path, None, f"Linux {name}", str(path))
            return _from_git(str(path), version) if (path / ".git").exists() else _from_directory(
                path, version)
        if re.match(r"(\w+://|\w[\w.]*@[\w.]+:)", linux) or "#" in linux:
            return _from_git(linux, version)
        archive, total = inputs.given(known, path)
        return _from_archive(archive, total, version)
    with cache.lock(f"source/{version}"):
        return _default(known, version)


def _default(known: inputs.Base, version: str) -> Source:
    """The base from the first place that has it; for one command at a time."""
    # A base that is in the cache already needs no archive.
    for name, total in inputs.archives(known, "linux"):
        if (cache.root() / "linux" / total[:20]).is_dir():
            return _import(total[:20], version, None, name)
    # What an earlier run took in its place; after a change to the patches another one may do
    remembered = cache.root() / "linux" / f"instead-of-{inputs.release(known, 'linux')}"
    key, name, other = [*(remembered.read_text() if remembered.exists() else "").split("|"), "",
                        ""][:3]
    if key and (cache.root() / "linux" / key).is_dir():
        found = _import(key, version, None, name)
        with contextlib.suppress(Problem):
            series.commits(found.tree, found.commit or "", series.patches())
            say(inputs.instead(known, "linux", other))
            return found

    def take(found: inputs.Found) -> Source:
        made = _from_archive(found.path, found.total, version)
        if found.other:
            cache.write(remembered, "|".join((found.total[:20], found.path.name, found.other)))
        return made

    return inputs.obtain(known, "linux", lambda path: series.try_on(path, series.patches()), take)


def make_args() -> list[str]:
    return ["ARCH=arm64", f"CROSS_COMPILE={needs.cross_prefix()}", "LOCALVERSION=-kpkeys"]


_MAKE_ENV = {
    "KBUILD_BUILD_TIMESTAMP": "2000-01-01",
    "KBUILD_BUILD_USER": "kpkeys",
    "KBUILD_BUILD_HOST": "kpkeys",
    "KBUILD_BUILD_VERSION": "1",
    "LC_ALL": "C",
}


def compiler() -> str:
    text = proc.output([needs.cross_prefix() + "gcc", "--version"], "no arm64 compiler")
    return text.splitlines()[0]


def _debian_config(known: inputs.Base) -> Path:
    """The configuration of Debian's kernel for arm64, at best of the release that BASE names."""
    package = f"linux-config-{known['linux']['version']}"

    def make(partial: Path) -> None:
        deb = aptsrc.fetch(package, inputs.named(known, "linux"), partial, arch="arm64",
                           suites=inputs.suites(known, "linux"), others=True)
        if deb is None:
            raise Problem(f"Debian's configuration is in {package}:arm64; apt has no Debian site"
                          " that has it")
        proc.run(["dpkg-deb", "-x", deb, partial / "deb"], partial / "log", f"unpacking {package}")
        packed = partial / f"deb/usr/src/{package}/config.arm64_none_arm64.xz"
        text = proc.output(["xz", "-dc", packed], f"unpacking {packed.name}")
        (partial / f"{package}.config").write_text(text)
        shutil.rmtree(partial / "deb")
        deb.unlink()

    release = inputs.release(known, "linux")
    return cache.entry("debian-config", release, make) / f"{package}.config"


def configs(*names: str) -> list[Path]:
    """Configuration fragments, and what a backport has in one of the same name after it."""
    places = dict.fromkeys((CONFIGS, inputs.home() / "configs"))
    return [path for name in names
            for path in [place / name for place in places if (place / name).exists()]
            or [CONFIGS / name]]


def fragments(variant: str, kind: Kind = TESTED) -> list[Path]:
    """The configuration fragments of a variant, named by the further ones: '16k debug'."""
    axes = variant.split()
    found = configs(*kind.fragments, *(f"{axis}.config" for axis in axes))
    if DEBIAN in axes:
        found[found.index(CONFIGS / "base.config")] = _debian_config(inputs.base())
    return found


def _configure(tree: Path, objects: Path, wanted: list[Path], log: Path) -> None:
    """Merge the fragments; an option wanted by ours that did not make it is an error.

    An option that shall be off, and that this kernel does not have, is off.
    """
    log.unlink(missing_ok=True)
    env = dict(item.split("=", 1) for item in make_args())
    proc.run(["scripts/kconfig/merge_config.sh", "-Q", "-O", objects, *wanted], log,
             "merge_config.sh", cwd=tree, env={**env, **_MAKE_ENV})
    # Debian's names its compiler, and what goes with that
    ours = "".join(path.read_text() for path in wanted if path.is_relative_to(inputs.REPO))
    wrong = [option for option, value, actual in re.findall(
        r"Value requested for (CONFIG_\w+) not in.*\nRequested value: +(.*)\nActual value: *(.*)",
        log.read_text()) if (actual.strip() or not value.endswith("is not set"))
        and re.search(rf"\b{option}\b", ours)]
    if wrong:
        raise Problem(f"configs: {', '.join(wrong)} cannot be set on this kernel, see {log}")


@contextmanager
def making(objects: Path) -> Iterator[None]:
    """The object directory while make is at it.

    make removes the file that it is at if it is interrupted, but not if it is killed; the next
    one takes half a file that is newer than its source for complete.
    """
    mark = objects / "kpkeys-making"
    if mark.exists():
        cache.discard(objects)
    objects.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield
    finally:
        mark.unlink()


def _compile(where: Source, objects: Path, variant: str, kind: Kind) -> None:
    with making(objects):
        _make(where, objects, variant, kind)


def _make(where: Source, objects: Path, variant: str, kind: Kind) -> None:
    tree, debian = where.tree, DEBIAN in variant.split()
    cache.need_space(1.5e9)
    log = objects / "kpkeys-build.log"
    progress = Progress(f"Building the kernel{variant and ': ' + variant}")
    _configure(tree, objects, fragments(variant, kind), objects / "kpkeys-config.log")
    count = 0

    def state(line: str) -> str | None:
        nonlocal count
        if not line.startswith("  "):
            return None
        count += 1
        return f"{count:4d} {line.strip()}"

    jobs = f"-j{len(os.sched_getaffinity(0))}"
    log.unlink(missing_ok=True)
    # Of Debian's four thousand modules none is for the machines that we boot
    targets = ["Image", "modules_prepare" if debian else "modules"]
    proc.run(["make", jobs, "-C", tree, f"O={objects}", *make_args(), *targets], log,
             "kernel build", env=_MAKE_ENV, progress=progress, state=state)
    if debian:
        shutil.copy2(objects / "vmlinux.symvers", objects / "Module.symvers")
    if kind.guest:
        guest = _GUEST
        if not inputs.has("module-output"):
            # Its make builds modules beside their sources
            guest = objects / "demo"
            shutil.copytree(_GUEST, guest, dirs_exist_ok=True)
        proc.run(["make", "-C", guest, f"O={objects / 'demo'}", f"KDIR={objects}", *make_args(),
                  "module", *([VARIABLE_LEVEL.stem] if f"demo/{VARIABLE_LEVEL}" in kind.kept
                              else [])], log, "modules for the guest", env=_MAKE_ENV)
    progress.done()


_NOT_BUILT = re.compile(r"Documentation/.*\.(rst|txt)$|MAINTAINERS$|tools/testing/selftests/")


def _content(repo: Path, commit: str) -> str:
    """A hash of what a build of the commit may read: not its message, nor documents."""
    files = series.git(repo, "ls-tree", "-r", commit).splitlines()
    return cache.digest(line for line in files if not _NOT_BUILT.match(line.split("\t", 1)[1]))


# What is kept of a build of any kind
_KEPT = ("arch/arm64/boot/Image", "vmlinux", ".config", "System.map", "usr/gen_init_cpio")


def _collect(objects: Path, into: Path, kind: Kind) -> None:
    for file in (*_KEPT, *kind.kept):
        shutil.copy2(objects / file, into)


def build(
    known: inputs.Base, linux: str | None, variant: str = "", kind: Kind = TESTED
) -> Kernel:
    """A kernel of the kind with the configs of the variant, from the source that is wanted."""
    return build_from(source(known, linux), variant, kind)


def build_from(where: Source, variant: str = "", kind: Kind = TESTED) -> Kernel:
    """The same from a source that is there."""
    gcc = compiler()
    if DEBIAN in variant.split():
        needs.ensure(DEBIAN)
    if where.commit is None:
        key = cache.digest([str(where.tree), *variant.split()])
        objects = cache.root() / "obj" / f"dev-{key}"
        with cache.lock(f"obj/{objects.name}"):
            _compile(where, objects, variant, kind)
            # Of its own, as the next build may come while this one is booted
            files = [objects / name for name in (*_KEPT, *kind.kept)]
            built = cache.entry("kernel", cache.digest(files),
                                lambda partial: _collect(objects, partial, kind))
            return Kernel(built / "Image", built, where, 0, gcc)
    files = kind.patches()
    modules = [_GUEST / name for name in ("demo", "variable-level", "Makefile")]
    head = series.commits(where.tree, where.commit, files)
    key = cache.digest([_content(where.tree, head), *fragments(variant, kind),
                        *(modules if kind.guest else kind.kept), gcc, *make_args(),
                        *_MAKE_ENV.values()])

    def make(partial: Path) -> None:
        with cache.lock(f"linux/{where.tree.parent.name}"):
            series.checkout(where.tree, head)
            parts = [where.commit or "", gcc, *variant.split(), *([] if files else ["base"])]
            objects = cache.root() / "obj" / cache.digest(parts)
            _compile(where, objects, variant, kind)
            _collect(objects, partial, kind)

    directory = cache.entry("kernel", key, make)
    return Kernel(directory / "Image", directory, where, len(files), gcc)
