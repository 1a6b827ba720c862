# SPDX-License-Identifier: GPL-2.0
"""tree and refresh."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

from kpkeyslib import inputs, series
from kpkeyslib.term import Problem

from .support import AUTHOR, Scratch, commit, edit, mini_kernel


class Series(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.base_tree = self.dir / "base"
        self.base = mini_kernel(self.base_tree)
        self.repo = self.dir / "repo"
        self.repo.mkdir()
        self.tree = self.dir / "tree"
        series.make_tree(self.base_tree, self.base, self.base, self.tree)
        edit(self.tree / "mm/memory.c", "line3;", "line3 = 1;")
        commit(self.tree, "mm: change a line\n\nBecause.\n")
        edit(self.tree / "mm/memory.c", "line30;", "line30 = 1;")
        (self.tree / "mm/kpkeys.c").write_text("int kpkeys;\n")
        commit(self.tree, "[x86] mm: ünusual subject\n\nA body: [PATCH] not stripped.\n")
        series.refresh(self.tree, self.repo)

    def files(self) -> dict[str, bytes]:
        found = {p.name: p.read_bytes() for p in (self.repo / "patches").iterdir()}
        found["series"] = (self.repo / "series").read_bytes()
        return found

    def rebuild(self, name: str) -> Path:
        patches = series.patches(self.repo / "series")
        head = series.commits(self.base_tree, self.base, patches)
        tree = self.dir / name
        series.make_tree(self.base_tree, self.base, head, tree)
        return tree

    def test_round_trip_gives_the_same_bytes(self) -> None:
        before = self.files()
        self.assertEqual(len(before), 3)
        again = self.rebuild("again")
        for key, value in (("diff.noprefix", "true"), ("diff.algorithm", "patience"),
                           ("core.abbrev", "40"), ("diff.context", "9"), ("format.signoff", "true"),
                           ("format.coverLetter", "true"), ("diff.renames", "false")):
            series.git(again, "config", key, value)
        series.refresh(again, self.repo)
        self.assertEqual(self.files(), before)

    def test_a_new_file_is_seen_though_the_base_ignores_it(self) -> None:
        (self.tree / "mm/new.c").write_text("int added;\n")
        (self.tree / "mm/new.o").write_text("built\n")
        self.assertEqual(series.git(self.tree, "status", "--porcelain").split(),
                         ["??", "mm/new.c"])
        commit(self.tree, "mm: a new file")
        series.refresh(self.tree, self.repo)
        self.assertIn("0003-mm-a-new-file.patch", self.files())

    def test_commits_repeat(self) -> None:
        patches = series.patches(self.repo / "series")
        first = series.commits(self.base_tree, self.base, patches)
        series.git(self.base_tree, "update-ref", "-d",
                   f"refs/kpkeys/{series.key(self.base, patches)}")
        self.assertEqual(series.commits(self.base_tree, self.base, patches), first)

    def test_commits_leave_the_work_tree_alone(self) -> None:
        before = (self.base_tree / "mm/memory.c").stat().st_mtime_ns
        self.rebuild("again")
        self.assertEqual((self.base_tree / "mm/memory.c").stat().st_mtime_ns, before)
        self.assertFalse(series.git(self.base_tree, "status", "--porcelain"))

    def test_words_of_cover_letter_stay_and_old_patches_go(self) -> None:
        cover = self.repo / "patches/0000-cover-letter.txt"
        cover.write_text("Subject: [PATCH 00/17] Title\n\nBy hand (2):\n\nSomeone (17):\n  old\n")
        series.git(self.tree, "reset", "--quiet", "--hard", "HEAD~1")
        series.refresh(self.tree, self.repo)
        self.assertEqual(sorted(self.files()),
                         ["0000-cover-letter.txt", "0001-mm-change-a-line.patch", "series"])
        text = cover.read_text()
        self.assertTrue(text.startswith("Subject: [PATCH 0/1] Title\n\nBy hand (2):\n\n"), text)
        self.assertRegex(text, r"\(1\):\n  mm: change a line\n\n .* \| .*\n 1 file changed")
        self.assertNotIn("old", text)
        self.assertEqual((self.repo / "series").read_text(), "0001-mm-change-a-line.patch\n")

    def test_git_am_takes_the_directory_as_it_stands(self) -> None:
        (self.repo / "patches" / series.COVER).write_text("Subject: [PATCH 0/2] T\n\nWords.\n")
        series.refresh(self.tree, self.repo)
        with series.sparse_tree(self.base_tree, self.base,
                                series.patches(self.repo / "series")) as tree:
            series.git(tree, "am", "--quiet", *sorted((self.repo / "patches").glob("*.patch")))
            self.assertEqual(series.git(tree, "rev-parse", "HEAD^{tree}"),
                             series.git(self.tree, "rev-parse", "HEAD^{tree}"))

    def test_each_series_is_what_the_pattern_finds(self) -> None:
        found = [inputs.REPO / "series", inputs.REPO / "qemu/series",
                 *inputs.REPO.glob("backports/*/series")]
        self.assertGreater(len(found), 2)
        for path in found:
            self.assertEqual(sorted((path.parent / "patches").glob("*.patch")),
                             series.patches(path))

    def refused(self, pattern: str) -> None:
        before = self.files()
        with self.assertRaisesRegex(Problem, pattern):
            series.refresh(self.tree, self.repo)
        self.assertEqual(self.files(), before)
        self.assertEqual(sorted(os.listdir(self.repo)), ["patches", "series"])

    def test_refresh_refuses_uncommitted_changes(self) -> None:
        edit(self.tree / "mm/memory.c", "line5", "line5_")
        self.refused("uncommitted changes")

    def test_refresh_refuses_a_rebase_in_progress(self) -> None:
        (self.tree / ".git/rebase-merge").mkdir()
        self.refused("rebase or git am is in progress")

    def test_refresh_refuses_unmerged_files(self) -> None:
        series.git(self.tree, "checkout", "--quiet", "-b", "other", "HEAD~1")
        edit(self.tree / "mm/memory.c", "line30;", "line30 = 2;")
        commit(self.tree, "other")
        with self.assertRaises(Problem):
            series.git(self.tree, "merge", "--quiet", "kpkeys")
        self.refused("unmerged files")

    def test_refresh_refuses_merges(self) -> None:
        series.git(self.tree, "checkout", "--quiet", "-b", "other", "HEAD~1")
        (self.tree / "new.c").write_text("\n")
        commit(self.tree, "other")
        series.git(self.tree, "merge", "--quiet", "--no-edit", "kpkeys", env=AUTHOR)
        self.refused("merge commits")

    def test_refresh_refuses_an_empty_series(self) -> None:
        series.git(self.tree, "reset", "--quiet", "--hard", series.BASE_TAG)
        self.refused("no commit on top")

    def test_refresh_refuses_another_tree(self) -> None:
        self.tree = self.repo
        self.refused("not a tree")

    def test_refresh_on_a_full_disk_changes_nothing(self) -> None:
        with mock.patch("os.replace", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            self.refused("No space left")

    def test_a_patch_that_does_not_apply_is_named(self) -> None:
        edit(self.repo / "patches/0002-x86-mm-nusual-subject.patch", "line29;", "line29x;")
        with self.assertRaisesRegex(Problem, r"0002-x86\S+ does not apply: .*mm/memory.c"):
            self.rebuild("again")
        self.assertFalse((self.dir / "again").exists())
        self.assertEqual(series.git(self.base_tree, "worktree", "list").count("\n"), 1)

    def test_a_file_that_is_no_patch_is_named(self) -> None:
        (self.repo / "patches/0001-mm-change-a-line.patch").write_text("hello\n")
        with self.assertRaisesRegex(Problem, "0001-mm-change-a-line.patch does not apply"):
            self.rebuild("again")

    def test_series_names_a_missing_patch(self) -> None:
        (self.repo / "series").write_text("0009-gone.patch\n")
        with self.assertRaisesRegex(Problem, "0009-gone.patch"):
            series.patches(self.repo / "series")

    def test_tree_keeps_what_is_there(self) -> None:
        with self.assertRaisesRegex(Problem, "is there already"):
            series.make_tree(self.base_tree, self.base, self.base, self.tree)

    def test_killed_at_any_step_of_writing(self) -> None:
        """Either the old or the new series is there, with its cover letter, and writing goes on."""
        (self.repo / "patches/0000-cover.patch").write_text("Subject: [PATCH 0/2] T\n\nWords.\n")
        (self.repo / "patches/README").write_text("by hand\n")
        series.refresh(self.tree, self.repo)
        old = self.files()
        series.git(self.tree, "commit", "--amend", "-m", "mm: another name", "--no-gpg-sign")
        series.refresh(self.tree, self.repo)
        new = self.files()
        steps = 0
        code = ("import os, sys; from pathlib import Path; from kpkeyslib import series\n"
                "left = int(sys.argv[1])\n"
                "def killing(real):\n"
                "    def act(*args, **more):\n"
                "        global left\n"
                "        if left == 0: os._exit(9)\n"
                "        left -= 1\n"
                "        return real(*args, **more)\n"
                "    return act\n"
                "for where, name in ((os, 'replace'), (Path, 'rename'), (series.shutil, 'rmtree'),\n"
                "                    (series, '_cover')):\n"
                "    setattr(where, name, killing(getattr(where, name)))\n"
                "series.write(Path(sys.argv[2]), Path(sys.argv[3]))\n")
        seen = []
        while True:
            shutil.rmtree(self.repo)
            (self.repo / "patches").mkdir(parents=True)
            for name, data in old.items():
                where = self.repo if name == "series" else self.repo / "patches"
                (where / name).write_bytes(data)
            done = subprocess.run([sys.executable, "-B", "-c", code, str(steps), self.tree,
                                   self.repo], cwd=Path(__file__).parents[1], check=False)
            series.patches(self.repo / "series")
            found = self.files()
            self.assertTrue(found in (old, new), f"killed at step {steps}: {sorted(found)}")
            seen.append(found == new)
            series.refresh(self.tree, self.repo)
            self.assertEqual(self.files(), new)
            self.assertEqual(sorted(p.name for p in self.repo.iterdir()), ["patches", "series"])
            if not done.returncode:
                break
            steps += 1
        self.assertTrue(steps > 4 and seen[-1] and not seen[0])
