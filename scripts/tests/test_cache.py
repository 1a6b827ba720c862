# SPDX-License-Identifier: GPL-2.0
"""The cache when commands run side by side, are killed, or find the disk full."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from kpkeyslib import boot, cache, inputs, kernel, proc, results, series
from kpkeyslib.term import DiskFull

from .support import Scratch, commit, edit, mini_kernel

SCRIPTS = Path(__file__).resolve().parents[1]
OLD = 40 * 86400


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not what():
        if time.monotonic() > end:
            raise AssertionError("it never came to that")
        time.sleep(0.02)


class Others(Scratch):
    @contextlib.contextmanager
    def other(self, text: str) -> Iterator[subprocess.Popen]:
        """Another command, with the same cache, that does this and then waits to be killed."""
        code = ("from pathlib import Path; import time\n"
                "from kpkeyslib import cache, proc, series\n"
                f"{text}\nprint('there', flush=True); time.sleep(60)\n")
        with subprocess.Popen([sys.executable, "-B", "-c", code], cwd=SCRIPTS, text=True,
                              stdout=subprocess.PIPE) as child:
            assert child.stdout
            self.assertEqual(child.stdout.readline(), "there\n")
            try:
                yield child
            finally:
                child.kill()

    @contextlib.contextmanager
    def mounted(self, size: str) -> Iterator[Path]:
        """A small file system of its own."""
        place = self.dir / "small"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place],
                              check=False, capture_output=True)
        if done.returncode:
            self.skipTest("this needs root, who may mount")
        try:
            yield place
        finally:
            subprocess.run(["umount", "-l", place], check=True)

    def trash(self) -> list[Path]:
        return list((cache.root() / "trash").iterdir())

    def slow_rm(self) -> Path:
        """An rm that first says which paths it was given, and removes them when it is let."""
        tools = self.dir / "tools"
        tools.mkdir()
        fake = tools / "rm"
        fake.write_text("#!/bin/sh\n"
                        f"echo \"$@\" >>{tools}/asked\n"
                        f"while [ -e {tools}/hold ]; do sleep 0.02; done\n"
                        f"{shutil.which('rm')} \"$@\"; echo >>{tools}/ended\n")
        fake.chmod(0o755)
        (tools / "hold").touch()
        path = mock.patch.dict(os.environ, {"PATH": f"{tools}:{os.environ['PATH']}"})
        path.start()
        self.addCleanup(path.stop)
        self.addCleanup((tools / "hold").unlink, missing_ok=True)
        return tools


class Discard(Others):
    def make(self, name: str) -> Path:
        path = self.dir / name
        (path / "in").mkdir(parents=True)
        (path / "in/file").touch()
        return path

    def test_it_goes_in_the_background(self) -> None:
        path = self.make("gone")
        cache.discard(path)
        self.assertFalse(path.exists())
        wait_for(lambda: not self.trash())

    def test_nothing_is_no_error(self) -> None:
        cache.discard(self.dir / "nothing")

    def test_no_path_is_used_that_something_may_be_deleting(self) -> None:
        tools = self.slow_rm()
        cache.discard(self.make("first"))
        wait_for((tools / "asked").exists)
        doomed = {Path(name) for name in (tools / "asked").read_text().split()[2:]}
        known = set(self.trash())
        cache.discard(self.make("second"))
        new = set(self.trash()) - known
        self.assertEqual(len(new), 1)
        for path in new:
            self.assertFalse(doomed & {path, *path.parents}, "it was put below what rm removes")
        (tools / "hold").unlink()
        wait_for(lambda: not self.trash())

    def test_removed_between_any_two_steps(self) -> None:
        """As if rm always came in the worst moment: it takes all that it may between the calls."""
        real, gone = Path.rename, []

        def rename(path: Path, target: Path) -> Path:
            if not gone:
                gone.append(shutil.rmtree(cache.root() / "trash"))
            return real(path, target)

        path = self.make("gone")
        with mock.patch.object(Path, "rename", rename):
            cache.discard(path)
        self.assertFalse(path.exists())

    def test_many_at_once(self) -> None:
        text = ("for n in range(60):\n"
                "    path = cache.root() / f'mine-{os.getpid()}-{n}'\n"
                "    (path / 'in').mkdir(parents=True); cache.discard(path)\n")
        done = [subprocess.Popen([sys.executable, "-B", "-c",
                                  f"import os\nfrom kpkeyslib import cache\n{text}"], cwd=SCRIPTS)
                for _ in range(3)]
        self.assertEqual([child.wait(60) for child in done], [0, 0, 0])
        wait_for(lambda: not self.trash())

    def test_what_a_killed_rm_left_goes_with_the_next(self) -> None:
        left = cache.root() / "trash/left"
        (left / "in").mkdir(parents=True)
        cache.discard(self.make("gone"))
        wait_for(lambda: not self.trash())

    def test_another_file_system(self) -> None:
        def rename(path: Path, target: Path) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        paths = [self.make("tree"), self.dir / "file", self.dir / "link"]
        paths[1].touch()
        paths[2].symlink_to(self.make("kept"))
        with mock.patch.object(Path, "rename", rename):
            for path in paths:
                cache.discard(path)
                self.assertFalse(os.path.lexists(path), path)
        self.assertTrue((self.dir / "kept/in/file").exists())

    def test_a_cache_on_another_file_system(self) -> None:
        with self.mounted("1m") as place:
            with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(place)}):
                path = self.make("build/linux.partial")
                cache.discard(path)
                self.assertFalse(path.exists())

    def test_a_full_disk(self) -> None:
        """It is said, and after room was made the next run makes what is wanted."""
        def make(partial: Path) -> None:
            (partial / "big").write_bytes(b"x" * 3000000)

        with self.mounted("2m") as place:
            with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(place)}):
                with self.assertRaises(OSError) as raised:
                    cache.entry("kind", "key", make)
                self.assertEqual(raised.exception.errno, errno.ENOSPC)
                # What is half there is no hindrance to the next, even where nothing is left
                with contextlib.suppress(OSError):
                    with (place / "filler").open("wb") as out:
                        while True:
                            out.write(b"x" * 4096)
                            out.flush()
                with self.assertRaises(DiskFull):
                    proc.run(["cp", "/dev/zero", place / "more"], self.dir / "log", "copying")
                with self.assertRaises(OSError) as raised:
                    cache.write(place / "text", "x" * 100000)
                self.assertEqual(raised.exception.errno, errno.ENOSPC)
                self.assertEqual(sorted(p.name for p in place.iterdir()),
                                 ["filler", "kpkeys", "more"])
                for name in ("filler", "more"):
                    (place / name).unlink()
                wait_for(lambda: not list((cache.root() / "trash").glob("*")))
                found = cache.entry("kind", "key", lambda p: (p / "small").touch())
                self.assertEqual([p.name for p in found.iterdir()], ["small"])


class Entries(Others):
    def make_old(self, path: Path) -> None:
        os.utime(path, (time.time() - OLD,) * 2)

    def test_what_another_command_uses_stays(self) -> None:
        with self.other("cache.entry('kind', 'used', lambda p: None)"):
            self.make_old(cache.root() / "kind/used")
            cache.entry("kind", "new", lambda p: None)
            self.assertTrue((cache.root() / "kind/used").is_dir())
        cache.entry("kind", "newer", lambda p: None)
        self.assertFalse((cache.root() / "kind/used").is_dir())

    def test_what_another_command_is_making_stays(self) -> None:
        begin = ("def make(p):\n    print('there', flush=True)\n    time.sleep(60)\n"
                 "cache.entry('kind', 'slow', make, resume=True)")
        with self.other(begin):
            self.make_old(cache.root() / "kind/slow.partial")
            cache.entry("kind", "new", lambda p: None)
            self.assertTrue((cache.root() / "kind/slow.partial").is_dir())

    def test_what_this_command_uses_stays(self) -> None:
        used = cache.entry("kind", "used", lambda p: None)
        self.make_old(used)
        cache.entry("kind", "new", lambda p: None)
        self.assertTrue(used.is_dir())

    def test_discarded_while_it_is_looked_up(self) -> None:
        path = cache.entry("kind", "key", lambda p: None)
        real = os.utime

        def utime(what: Path) -> None:
            if path.exists() and not again:
                again.append(path.rmdir())
            real(what)

        again: list[None] = []
        with mock.patch.object(os, "utime", utime):
            self.assertTrue(cache.entry("kind", "key", lambda p: None).is_dir())

    def test_what_a_killed_command_left_running_is_waited_for(self) -> None:
        """Its compiler may still write there."""
        begin = ("def make(p):\n"
                 f"    argv = ['sh', '-c', 'echo $$ >{self.dir}/pid; exec sleep 60']\n"
                 "    print('there', flush=True)\n"
                 "    proc.run(argv, p / 'log', 'tool')\n"
                 "cache.entry('kind', 'key', make)")
        with self.other(begin) as child:
            wait_for(lambda: (self.dir / "pid").exists() and (self.dir / "pid").read_text())
            child.kill()
            child.wait()
            tool = int((self.dir / "pid").read_text())
            ended: list[bool] = []
            real = cache.say

            def waits(text: str) -> None:
                real(text)
                os.kill(tool, signal.SIGKILL)
                ended.append(True)

            with mock.patch.object(cache, "say", waits):
                cache.entry("kind", "key", lambda p: self.assertTrue(ended))
        self.assertTrue(ended)

    def test_a_lock_is_given_back_while_a_tool_still_runs(self) -> None:
        with cache.lock("name"):
            tool = subprocess.Popen(["sleep", "60"], close_fds=False)
        try:
            with mock.patch.object(cache, "say", side_effect=AssertionError):
                with cache.lock("name"):
                    pass
        finally:
            tool.kill()
            tool.wait()

    def test_another_thread_is_not_another_run(self) -> None:
        def hold() -> None:
            with cache.lock("name"):
                held.set()
                done.wait()

        held, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        threading.Timer(0.1, done.set).start()
        with mock.patch.object(cache, "say", side_effect=AssertionError):
            with cache.lock("name"):
                self.assertTrue(done.is_set())
        thread.join()

    def test_a_lock_is_of_one_cache(self) -> None:
        """The tests of this command run within it, with the locks that it holds."""
        with cache.lock("name"):
            with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.dir / "other")}):
                thread = threading.Thread(target=cache.lock("name").__enter__, daemon=True)
                thread.start()
                thread.join(10)
        self.assertFalse(thread.is_alive())

    def test_a_result_that_goes_while_it_is_read(self) -> None:
        with mock.patch.object(results, "key", return_value="key"):
            (cache.root() / "passed/key").mkdir(parents=True)
            self.assertIsNone(results.recall(mock.Mock(), mock.Mock()))

    def test_half_a_file_is_never_read(self) -> None:
        path = self.dir / "file"
        cache.write(path, "first")
        with mock.patch.object(Path, "replace", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                cache.write(path, "second")
        self.assertEqual([path.read_text(), *self.dir.glob("file.*")], ["first"])


class Git(Others):
    """What git and the work trees leave of a command that was killed."""

    def setUp(self) -> None:
        super().setUp()
        self.repo = cache.root() / "linux/key/src"
        self.base = mini_kernel(self.repo)

    def test_scratch_of_the_living_stays_and_of_the_dead_goes(self) -> None:
        hold = "place = cache.scratch(); print(place.__enter__())"
        with subprocess.Popen([sys.executable, "-B", "-c",
                               f"from kpkeyslib import cache; import time\n{hold}\n"
                               "print(flush=True); time.sleep(60)"],
                              cwd=SCRIPTS, text=True, stdout=subprocess.PIPE) as child:
            assert child.stdout
            place = Path(child.stdout.readline().strip())
            with cache.scratch() as mine:
                self.assertTrue(place.is_dir())
            child.kill()
            child.wait()
            with cache.scratch():
                self.assertFalse(place.exists())
        self.assertFalse(mine.exists())

    def test_a_work_tree_of_a_killed_command(self) -> None:
        begin = (f"tree = series.sparse_tree(Path({str(self.repo)!r}), {self.base!r}, [])\n"
                 "tree.__enter__()")
        with self.other(begin):
            pass
        (self.repo / ".git/worktrees/tree/locked").write_text("initializing")
        with series.sparse_tree(self.repo, self.base, []):
            pass
        self.assertEqual(series.git(self.repo, "worktree", "list").count("\n"), 1)
        self.assertEqual(list((cache.root() / "scratch").iterdir()), [])

    def test_lock_files_of_a_killed_git(self) -> None:
        gitdir = self.repo / ".git"
        (gitdir / "refs/kpkeys").mkdir()
        patch = SCRIPTS.parent / "nothing"
        with mock.patch.object(series, "am"), mock.patch.object(series, "key", return_value="k"), \
                mock.patch.object(series, "touched", return_value=[]):
            for name in ("index.lock", "HEAD.lock", "config.lock", "refs/kpkeys/k.lock"):
                (gitdir / name).touch()
            self.assertEqual(series.commits(self.repo, self.base, [patch]), self.base)
            (gitdir / "index.lock").touch()
            series.checkout(self.repo, self.base)

    def test_sparse_trees_side_by_side(self) -> None:
        def one() -> str:
            with series.sparse_tree(self.repo, self.base, []) as tree:
                return series.git(tree, "rev-parse", "HEAD").strip()

        found = [head for _, head in proc.parallel(4, [one] * 8)]
        self.assertEqual(found, [self.base] * 8)

    def test_tree_over_what_a_killed_one_left(self) -> None:
        where = self.dir / "build/linux"
        (where.parent / "linux.partial/.git").mkdir(parents=True)
        with mock.patch.object(cache, "need_space"):
            series.make_tree(self.repo, self.base, self.base, where)
        self.assertEqual([p.name for p in where.parent.iterdir()], ["linux"])

    def test_tree_into_an_empty_directory_by_a_link(self) -> None:
        (self.dir / "real").mkdir()
        (self.dir / "link").symlink_to("real")
        with mock.patch.object(cache, "need_space"):
            series.make_tree(self.repo, self.base, self.base, self.dir / "link")
        self.assertTrue((self.dir / "real/Makefile").is_file())


class Commands(Others):
    """'kpkeys tree' as a whole, of a miniature kernel."""

    def setUp(self) -> None:
        super().setUp()
        self.linux = self.dir / "linux"
        mini_kernel(self.linux)
        self.repo = self.dir / "repo"
        (self.repo / "patches").mkdir(parents=True)
        (self.repo / "BASE").write_text("[linux]\nversion = 7.3\npackage = linux-source-7.3\n"
                                        "[qemu]\nversion = 10.2.2\npackage = qemu\n")
        edit(self.linux / "mm/memory.c", "line3;", "line3 = 1;")
        commit(self.linux, "mm: change a line\n\nBecause.\n")
        series.git(self.linux, "tag", series.BASE_TAG, "HEAD^")
        series.refresh(self.linux, self.repo)
        series.git(self.linux, "reset", "--hard", "HEAD^")

    def start(self, name: str) -> subprocess.Popen:
        code = ("import sys; from pathlib import Path; from kpkeyslib import cli, inputs, cache\n"
                f"inputs.home = lambda: Path({str(self.repo)!r})\n"
                "cache.need_space = lambda *args: None\n"
                f"sys.exit(cli.main(['tree', {str(self.dir / name)!r}, '--linux',"
                f" {str(self.linux)!r}]))\n")
        return subprocess.Popen([sys.executable, "-B", "-c", code], cwd=SCRIPTS, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, child: subprocess.Popen) -> tuple[int, str]:
        _, error = child.communicate(timeout=120)
        return child.returncode, error

    def test_at_once(self) -> None:
        """With a cache that is empty, so that they want the same at each step."""
        children = [self.start(name) for name in ("one", "two", "two")]
        found = [self.end(child) for child in children]
        self.assertEqual(found[0], (0, ""))
        self.assertEqual(sorted(status for status, _ in found[1:]), [0, 2], found)
        self.assertIn("two is there already", found[1][1] + found[2][1])
        for name in ("one", "two"):
            self.assertIn("line3 = 1;", (self.dir / name / "mm/memory.c").read_text())

    def test_leftovers_go_with_a_command_that_makes_nothing(self) -> None:
        self.assertEqual(self.end(self.start("one")), (0, ""))
        place = cache.root() / "scratch"
        (place / "left").mkdir()
        # All that it needs is there, so that it has no use for a place of its own
        self.assertEqual(self.end(self.start("two")), (0, ""))
        self.assertEqual(list(place.iterdir()), [])

    def test_killed_at_any_time(self) -> None:
        begin = time.monotonic()
        self.assertEqual(self.end(self.start("whole")), (0, ""))
        whole = time.monotonic() - begin
        shutil.rmtree(cache.root())
        for part in (0.4, 0.7, 0.9):
            child = self.start("tree")
            time.sleep(whole * part)
            child.kill()
            child.communicate()
            shutil.rmtree(self.dir / "tree", ignore_errors=True)
        self.assertEqual(self.end(self.start("tree")), (0, ""))
        self.assertIn("line3 = 1;", (self.dir / "tree/mm/memory.c").read_text())
        self.assertEqual(list((cache.root() / "scratch").iterdir()), [])

    def test_a_full_disk(self) -> None:
        with self.mounted("100k") as place:
            with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(place)}):
                for _ in range(2):
                    status, error = self.end(self.start("tree"))
                    self.assertEqual((status, error.count("\n")), (2, 1), error)
                    self.assertIn("the disk is full", error)
                    self.assertFalse((self.dir / "tree").exists())
                subprocess.run(["mount", "-o", "remount,size=20m", place], check=True)
                self.assertEqual(self.end(self.start("tree")), (0, ""))


class Builds(Others):
    """What make leaves of a build."""

    def test_of_a_build_that_was_killed_nothing_is_taken(self) -> None:
        objects = self.dir / "obj"
        begin = (f"objects = Path({str(objects)!r})\n"
                 "from kpkeyslib import kernel\nplace = kernel.making(objects)\n"
                 "place.__enter__(); (objects / 'half.o').touch()")
        with self.other(begin):
            pass
        with kernel.making(objects):
            self.assertFalse((objects / "half.o").exists())

    def test_of_one_that_failed_or_was_interrupted_all_is_kept(self) -> None:
        for error in (KeyboardInterrupt, DiskFull, None):
            with contextlib.suppress(KeyboardInterrupt, DiskFull):
                with kernel.making(self.dir / "obj"):
                    (self.dir / "obj/good.o").touch()
                    if error:
                        raise error
            with kernel.making(self.dir / "obj"):
                self.assertTrue((self.dir / "obj/good.o").exists())

    def test_a_kernel_that_is_booted_is_not_written_to(self) -> None:
        """Of a user's tree, where each build is in the same object directory."""
        tree = self.dir / "linux"
        tree.mkdir()
        where = kernel.Source(tree, None, "Linux")
        names = (*kernel._KEPT, "demo/a.ko")
        kind = kernel.Kind((), list, ("demo/a.ko",))

        def build(text: str) -> kernel.Kernel:
            def make(_: object, objects: Path, *more: object) -> None:
                for name in names:
                    (objects / name).parent.mkdir(parents=True, exist_ok=True)
                    (objects / name).write_text(text)

            with mock.patch.object(kernel, "_make", make), \
                    mock.patch.object(kernel, "compiler", return_value="gcc"):
                return kernel.build_from(where, "", kind)

        first = build("first")
        second = build("second")
        self.assertEqual((first.image.read_text(), second.image.read_text()), ("first", "second"))
        self.assertEqual(build("first").image, first.image)


class Logs(Scratch):
    def test_a_console_is_for_one_boot(self) -> None:
        """The second waits, and the QEMU that a killed command left writes elsewhere."""
        log = self.dir / "console.log"
        calls = [lambda word=word: boot.run(["sh", "-c", f"echo {word}; sleep 0.3; echo {word}"],
                                            log) for word in ("one", "two")]
        found = dict(proc.parallel(2, calls))
        self.assertEqual([found[n].console for n in (0, 1)], ["one\none\n", "two\ntwo\n"])


class Archives(Scratch):
    def test_an_archive_stays_until_all_have_taken_it(self) -> None:
        """Two commands want QEMU's at once, and each removes it when it has it."""
        both, done = threading.Barrier(2), threading.Event()
        path = cache.root() / "archives/qemu.tar"
        path.parent.mkdir()

        def candidates(*_: object) -> Iterator[inputs.Found]:
            if not path.exists():
                path.touch()
            yield inputs.Found(path, "sum")

        def take(slow: bool) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.5)
                if slow:
                    done.wait(5)
            path.read_bytes()

        def command(slow: bool) -> None:
            inputs.obtain({}, "qemu", lambda _: None,  # type: ignore[arg-type]
                          lambda _: take(slow))
            done.set()

        with mock.patch.object(inputs, "_candidates", candidates):
            calls = [lambda slow=slow: command(slow) for slow in (True, False)]
            self.assertEqual(len(list(proc.parallel(2, calls))), 2)


class Remembered(Scratch):
    def test_a_base_that_is_remembered_but_gone(self) -> None:
        """An empty or old note is no reason to fail, or to take the wrong directory."""
        known = {"linux": {"version": "7.3"}}
        note = cache.root() / "linux/instead-of-7.3"
        for text in ("", "gone"):
            note.parent.mkdir(exist_ok=True)
            note.write_text(text)
            with mock.patch.object(kernel.inputs, "archives", return_value=[]), \
                    mock.patch.object(kernel.inputs, "obtain", side_effect=StopIteration):
                with self.assertRaises(StopIteration):
                    kernel.source(known, None)  # type: ignore[arg-type]
