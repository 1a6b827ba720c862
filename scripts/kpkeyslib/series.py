# SPDX-License-Identifier: GPL-2.0
"""The series and git: base + one commit a patch, and back to patch files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import cache, inputs, proc
from .term import Problem, Progress, say

BASE_TAG = "kpkeys-base"
# Beside the patches, but 'git am patches/*.patch' must not find it
COVER = "0000-cover-letter.txt"

# The user's git configuration must not change commits or patches.
_GIT_ENV = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_COMMITTER_NAME": "kpkeys",
    "GIT_COMMITTER_EMAIL": "kpkeys@localhost",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_GIT = ["git", "-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0",
        "-c", "advice.detachedHead=false", "-c", "core.autocrlf=false"]


def git(where: Path, *args: str | Path, what: str = "git", **options) -> str:
    env = {**os.environ, **_GIT_ENV, **options.pop("env", {})}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        env.pop(name, None)
    return proc.output([*_GIT, "-C", where, *args], what, env=env, **options)


def _try(where: Path, *args: str | Path) -> str:
    """Run git where failure is an answer; all that it prints."""
    argv = [*_GIT, "-C", str(where), *map(str, args)]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, env={**os.environ, **_GIT_ENV}).stdout


def patches(series: Path | None = None) -> list[Path]:
    """The patch files, in the order of the series file."""
    series = series or inputs.home() / "series"
    if (series.parent / "patches.old").is_dir():
        with cache.lock("refresh", series.parent):
            _settle(series.parent)
    try:
        lines = series.read_text().splitlines()
    except FileNotFoundError:
        raise Problem(f"{series} is missing: this is not a complete clone") from None
    names = [line.split("#")[0].strip() for line in lines]
    found = [series.parent / "patches" / name for name in names if name]
    for path in found:
        if not path.is_file():
            raise Problem(f"{series.name} names a patch that is not there: {path.name}")
    return found


def key(commit: str, files: list[Path]) -> str:
    return cache.digest([commit, *files])


def touched(files: list[Path]) -> list[str]:
    """The files that patches change, by their names in a/ and b/."""
    names = set()
    for path in files:
        text = path.read_text(errors="surrogateescape")
        for old, new in re.findall(r"^diff --git a/(\S+) b/(\S+)$", text, re.M):
            names.update((old, new))
    return sorted(names)


@contextmanager
def alone(repo: Path) -> Iterator[None]:
    """While the block runs, no other command writes git's own files in the repository.

    git locks such a file by another one beside it, and one that was killed leaves that.
    """
    with cache.lock(f"git/{repo.parent.name}"):
        for pattern in ("*.lock", "refs/kpkeys/*.lock", "worktrees/*/locked"):
            for left in (repo / ".git").glob(pattern):
                left.unlink(missing_ok=True)
        yield


def checkout(repo: Path, commit: str) -> None:
    """Check a commit out in the repository's own work tree, of which the caller has the lock."""
    with alone(repo):
        git(repo, "checkout", "--quiet", "--force", "--detach", commit)


@contextmanager
def sparse_tree(repo: Path, commit: str, files: list[Path]) -> Iterator[Path]:
    """A passing work tree of the commit that holds just the files which the patches touch."""
    try:
        with cache.scratch() as place:
            tree = place / "tree"
            with alone(repo):
                git(repo, "worktree", "add", "--no-checkout", "--detach", tree, commit)
                git(tree, "sparse-checkout", "set", "--no-cone", "--stdin",
                    input="".join(f"/{name}\n" for name in touched(files)) or "/README\n")
            git(tree, "checkout", "--quiet")
            yield tree
    finally:
        with alone(repo):
            git(repo, "worktree", "prune")


def am(where: Path, files: list[Path]) -> None:
    """git am each patch; a patch that does not apply is named with the file."""
    for path in files:
        try:
            git(where, "am", "--quiet", "--no-3way", "--keep-non-patch", "--no-scissors",
                "--no-gpg-sign", "--committer-date-is-author-date", "--whitespace=nowarn",
                path, what=f"git am {path.name}")
        except Problem:
            causes = re.findall(r"^error: (.+)$", _try(where, "apply", "--check", path), re.M)
            _try(where, "am", "--abort")
            reason = causes[0] if causes else "not a mail with a patch"
            raise Problem(f"{path.name} does not apply: {reason}") from None


def try_on(archive: Path, files: list[Path]) -> None:
    """A Problem if patches do not apply to an archive; tried on just the files that they touch."""
    progress = Progress(f"Trying {len(files)} patches on {archive.name}")
    with cache.scratch() as place:
        tree = place / "tree"
        tree.mkdir()
        inputs.unpack_some(archive, tree, touched(files))
        git(tree, "init", "--quiet")
        git(tree, "add", "--all", "--force")
        git(tree, "commit", "--quiet", "--no-gpg-sign", "--allow-empty", "-m", archive.name,
            env={"GIT_AUTHOR_NAME": "kpkeys", "GIT_AUTHOR_EMAIL": "kpkeys@localhost"})
        am(tree, files)
    progress.done()


def exists(repo: Path, commit: str, name: str) -> bool:
    """Does a commit have a file of this name?"""
    return bool(git(repo, "ls-tree", "--name-only", commit, name))


def commits(repo: Path, base: str, files: list[Path]) -> str:
    """The commit with the whole series on base, made with git am once and kept."""
    if not files:
        return base
    ref = f"refs/kpkeys/{key(base, files)}"
    found = _try(repo, "rev-parse", "--verify", "--quiet", ref).strip()
    if found:
        return found
    progress = Progress(f"Applying {len(files)} patches")
    with sparse_tree(repo, base, files) as tree:
        am(tree, files)
        head = git(tree, "rev-parse", "HEAD").strip()
        with alone(repo):
            git(repo, "update-ref", ref, head)
    progress.done()
    return head


def _show_new_files(tree: Path) -> None:
    """Debian's source ignores whatever it does not have; keep that from hiding new files."""
    path = tree / ".gitignore"
    text = path.read_text() if path.exists() else ""
    kept = re.sub(r"^/\*\n", "", text, flags=re.M)
    if kept != text:
        git(tree, "update-index", "--skip-worktree", ".gitignore")
        path.write_text(kept)


def make_tree(repo: Path, base: str, head: str, where: Path) -> None:
    """A git work tree of its own: base, tagged, and the series on a branch."""
    where = where.resolve()
    with cache.lock(f"tree {where.name}", where):
        if where.exists() and (not where.is_dir() or any(where.iterdir())):
            raise Problem(f"{where} is there already: remove it, or name another directory")
        partial = where.with_name(where.name + ".partial")
        cache.discard(partial)
        where.parent.mkdir(parents=True, exist_ok=True)
        cache.need_space(2.5e9, where.parent)
        progress = Progress(f"Writing {where}")
        try:
            # Without --local, which is implied, git copies what it cannot link to
            git(repo, "clone", "--quiet", "--no-checkout", "--no-tags", repo, partial)
            git(partial, "remote", "remove", "origin")
            git(partial, "update-ref", "refs/heads/kpkeys", head)
            git(partial, "symbolic-ref", "HEAD", "refs/heads/kpkeys")
            git(partial, "tag", BASE_TAG, base)
            git(partial, "reset", "--quiet", "--hard", what="checking out")
            _show_new_files(partial)
            partial.rename(where)
        finally:
            cache.discard(partial)
        progress.done()


_FORMAT = [
    "-c", "core.abbrev=12", "-c", "core.quotePath=true", "-c", "diff.noprefix=false",
    "-c", "diff.mnemonicPrefix=false", "-c", "diff.interHunkContext=0", "-c", "diff.context=3",
    "-c", "diff.orderFile=/dev/null", "-c", "diff.suppressBlankEmpty=false",
    "-c", "diff.indentHeuristic=true",
    "-c", "format.encodeEmailHeaders=true", "-c", "format.filenameMaxLength=64",
    "format-patch", "--quiet", "--numbered", "--zero-commit", "--no-signature", "--no-base",
    "--no-attach", "--no-thread", "--no-cover-letter", "--no-notes", "--no-signoff", "--no-from",
    "--no-add-header", "--no-to", "--no-cc", "--abbrev=12", "--find-renames",
    "--subject-prefix=PATCH",
    "--diff-algorithm=myers", "--no-ext-diff", "--no-textconv", "--no-color", "--suffix=.patch",
]


def _ready(where: Path) -> None:
    """Refuse a tree that is in the middle of something."""
    if not (where / ".git").exists():
        raise Problem(f"{where} is not a tree that 'kpkeys tree' made")
    gitdir = Path(git(where, "rev-parse", "--absolute-git-dir").strip())
    if any((gitdir / name).exists() for name in ("rebase-merge", "rebase-apply")):
        raise Problem(f"{where}: a rebase or git am is in progress; finish or abort it first")
    if git(where, "ls-files", "--unmerged"):
        raise Problem(f"{where} has unmerged files; resolve and commit them first")
    if git(where, "status", "--porcelain", "--untracked-files=no"):
        raise Problem(f"{where} has uncommitted changes; commit or stash them first")
    try:
        git(where, "merge-base", "--is-ancestor", BASE_TAG, "HEAD")
    except Problem:
        raise Problem(f"{where}: HEAD is not on top of the tag {BASE_TAG}") from None
    if git(where, "rev-list", "--merges", f"{BASE_TAG}..HEAD"):
        raise Problem(f"{where} has merge commits; a series is a line of commits (git rebase)")


def _cover(where: Path, text: str, count: int, listed: str) -> str:
    """The cover letter with its own words, and what git makes of the series after them."""
    text = _with_parts(text, listed)
    span = f"{BASE_TAG}..HEAD"
    text = re.sub(r"^(Subject: \[PATCH )0+/\d+\]", rf"\g<1>{'0' * len(str(count))}/{count}]", text,
                  count=1, flags=re.M)
    words = re.split(r"^\S[^\n]* \(\d+\):\n  ", text, maxsplit=1, flags=re.M)[0]
    return (words + git(where, "shortlog", "-w72,2,4", span)
            + git(where, "diff", "--stat=72", "--summary", "--find-renames", BASE_TAG, "HEAD"))


def _settle(repo: Path) -> None:
    """Bring a write() to its end, or undo it, that was killed while it changed the names."""
    old, new, away = (repo / name for name in ("patches", "patches.new", "patches.old"))
    if away.is_dir() and not old.is_dir():
        away.rename(old)
    elif away.is_dir() and (repo / "series.new").exists():
        os.replace(repo / "series.new", repo / "series")
    for left in (new, away):
        shutil.rmtree(left, ignore_errors=True)
    (repo / "series.new").unlink(missing_ok=True)


def _slug(name: str) -> str:
    """A patch's name without its number."""
    return name.split("-", 1)[1]


def _with_comments(names: list[str], old: Path) -> str:
    """The series file, with the comments that the old one has before patches of the same names."""
    comments: dict[str, list[str]] = {}
    kept: list[str] = []
    there = {_slug(name) for name in names}
    for line in old.read_text().splitlines() if old.is_file() else []:
        if line.startswith("#"):
            kept.append(line)
        elif line.strip() and _slug(line.strip()) in there:
            comments[_slug(line.strip())], kept = kept, []
    return "".join(f"{line}\n" for name in names for line in (*comments.get(_slug(name), ()), name))


def parts(text: str) -> list[tuple[int, int, str]]:
    """The parts of a series file: first and last patch, and what the comment says."""
    found: list[tuple[int, int, str]] = []
    number = 0
    for line in text.splitlines():
        if line.startswith("# "):
            found.append((number + 1, number, line[2:].strip()))
        elif line.strip() and not line.startswith("#"):
            number += 1
            if found:
                found[-1] = (found[-1][0], number, found[-1][2])
    return found


def _table_of_parts(text: str) -> str:
    def line(first: int, last: int, what: str) -> str:
        span = f"{first:>2}" + (f"-{last}" if last > first else "")
        return textwrap.fill(what, 72, initial_indent=f"{span:<8}", subsequent_indent=" " * 8)

    return "".join(f"{line(*part)}\n" for part in parts(text))


def _with_parts(letter: str, listed: str) -> str:
    """A cover letter with the table of the parts that the series file names, if it does."""
    table = _table_of_parts(listed)
    return re.sub(r"(?<=^Parts\n=====\n\n)(?: *\d.*\n(?: {8}.*\n)*)+", lambda _: table, letter,
                  count=1, flags=re.M) if table else letter


def write(where: Path, repo: Path) -> list[str]:
    """Write patches/ and series from the tree, all or nothing; the names of the patches."""
    with cache.lock("refresh", repo):
        _settle(repo)
        return _write(where, repo)


def _write(where: Path, repo: Path) -> list[str]:
    old, new, away = (repo / name for name in ("patches", "patches.new", "patches.old"))
    new.mkdir()
    try:
        git(where, *_FORMAT, "--output-directory", new.absolute(), f"{BASE_TAG}..HEAD",
            what="git format-patch")
        names = sorted(path.name for path in new.iterdir())
        if not names:
            raise Problem(f"{where} has no commit on top of {BASE_TAG}")
        listed = _with_comments(names, repo / "series")
        for path in old.iterdir() if old.is_dir() else []:
            # The words of the cover letter, and what is no patch, are written by hand.
            if path.name == COVER:
                (new / path.name).write_text(_cover(where, path.read_text(), len(names), listed))
            elif path.suffix != ".patch":
                shutil.copy2(path, new)
            elif path.name in names and path.read_bytes() == (new / path.name).read_bytes():
                shutil.copy2(path, new)
        (new / "series").write_text(listed)
        os.replace(new / "series", repo / "series.new")
        if old.is_dir():
            old.rename(away)
        new.rename(old)
        os.replace(repo / "series.new", repo / "series")
    except OSError as err:
        if away.is_dir() and not old.is_dir():
            away.rename(old)
        raise Problem(f"patches/ is as it was: {err}") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
        (repo / "series.new").unlink(missing_ok=True)
    shutil.rmtree(away, ignore_errors=True)
    return names


def refresh(where: Path, repo: Path | None = None) -> list[str]:
    """What write() does, of a tree that somebody has worked in."""
    _ready(where)
    repo = repo or inputs.home()
    names = write(where, repo)
    say(f"{len(names)} patches written to {repo / 'patches'}")
    return names
