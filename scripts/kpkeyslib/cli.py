# SPDX-License-Identifier: GPL-2.0
"""Arguments, and how errors reach the user."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from . import (attack, bench, cache, check, demo, docs, figures, inputs, kernel, needs, qemu, series,
               suite)
from .term import Problem, clear, is_full, said, say

EPILOG = """\
Inputs are looked for in this order: what --linux and --qemu name, the archives in the
directory $KPKEYS_DISTFILES, the upstream releases, Debian's packages, the archive of
all that Debian has published (see BASE).
Everything built is kept in $XDG_CACHE_HOME/kpkeys (~/.cache/kpkeys).
Exit status: 0 all well, 1 something failed, 2 the command could not run.
"""


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="kpkeys", epilog=EPILOG, formatter_class=shape,
                                  description="Linux page tables protected with protection keys")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, act) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, epilog=EPILOG,
                                  formatter_class=shape)
        sub.set_defaults(act=act)
        sub.add_argument("--no-install", action="store_true",
                         help="install no package: say which are missing, and end with status 2")
        return sub

    def base(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--base", metavar="VERSION",
                         help="the backport to that Linux, from backports/")

    def linux(sub: argparse.ArgumentParser) -> None:
        base(sub)
        sub.add_argument("--linux", metavar="DIR|ARCHIVE|GIT",
                         help="kernel source: a tree or an archive of the base, a git URL[#REF],"
                         " or a tree that has the series already (built as it stands)")

    def emulator(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--qemu", metavar="BINARY", help="a qemu-system-aarch64 that has POE")

    sub = add("setup", "install what is missing, fetch and build everything", _setup)
    linux(sub)
    emulator(sub)
    sub = add("run", "build, boot, and show the protection working", _run)
    linux(sub)
    emulator(sub)
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--shell", action="store_true", help="a shell in the protected kernel")
    how.add_argument("--attack", action="store_true",
                     help="show what an attacker makes of a driver with a bug, step by step")
    sub = add("test", "run all tests; ends with the line 'N passed, N failed'", _test)
    linux(sub)
    emulator(sub)
    sub.add_argument("--full", action="store_true",
                     help="all of the matrix of kernels and machines, not only a quick part;"
                     " what of it passed before, with the same inputs, is kept")
    sub.add_argument("--fresh", action="store_true", help="with --full: run that again, too")
    sub.add_argument("--list", action="store_true", help="only list the tests")
    sub.add_argument("filter", nargs="*", metavar="TEXT", help="only tests whose name contains it")
    sub = add("check", "what a reviewer would run on each patch; a line for each", _check)
    linux(sub)
    emulator(sub)
    sub.add_argument("--bisect", action="store_true",
                     help="build and boot with each patch more; takes hours the first time")
    sub = add("bench", "count the instructions and barriers that the protection costs", _bench)
    linux(sub)
    emulator(sub)
    sub.add_argument("--quick", action="store_true", help="only the main workloads")
    sub.add_argument("--blocks", action="store_true",
                     help="on a machine that maps its memory for the kernel with blocks, not pages")
    sub.add_argument("--check", action="store_true", help="fail if a limit is not kept")
    sub.add_argument("--from", metavar="CSV", type=Path, dest="recorded",
                     help="count nothing: tables and plot from a results.csv, beside it")
    sub.add_argument("--output", metavar="DIR", type=Path,
                     help="where results.csv, .md, .rst and .svg go (build/bench)")
    sub = add("docs", "the documents as HTML, without warnings", _docs)
    sub.add_argument("--output", metavar="DIR", type=Path, help="where it goes (build/html)")
    sub.add_argument("--pictures", action="store_true",
                     help="make Documentation/pictures/*.svg of their sources before")
    sub.add_argument("--figures", action="store_true",
                     help="write the figures in README and documents from results, and stop")
    sub = add("tree", "a git work tree: base, tagged, and one commit a patch", _tree)
    sub.add_argument("dir", nargs="?", type=Path)
    linux(sub)
    sub = add("refresh", "write patches/ and series back from that tree", _refresh)
    sub.add_argument("dir", nargs="?", type=Path)
    base(sub)
    return top


def _setup(args: argparse.Namespace) -> int:
    needs.ensure("build")
    known = inputs.base()
    built = kernel.build(known, args.linux)
    emulator = qemu.find(known, args.qemu)
    say(f"kernel:   {built.image} ({built.source.name}, {built.patches} patches;"
        f" {built.source.origin})")
    say(f"emulator: {emulator.binary} ({emulator.name}; {emulator.origin})")
    return 0


def _run(args: argparse.Namespace) -> int:
    start = figures.start()
    needs.ensure("build")
    if args.attack:
        status = attack.run(inputs.base(), args.linux, args.qemu)
    else:
        status = demo.run(inputs.base(), args.linux, args.qemu, args.shell)
    if not status and figures.is_own(args):
        figures.note("attack" if args.attack else "run", start, said())
    return status


def _test(args: argparse.Namespace) -> int:
    start = figures.start()
    status = suite.run(args.linux, args.qemu, args.filter, args.list, args.full, args.fresh)
    if not status and figures.is_own(args) and not (args.filter or args.list or args.full):
        figures.note("test", start, said())
    return status


def _check(args: argparse.Namespace) -> int:
    return check.run(inputs.base(), args.linux, args.qemu, args.bisect)


def _bench(args: argparse.Namespace) -> int:
    if args.recorded:
        kept = bench.again(args.recorded, args.output)
    else:
        needs.ensure("build")
        kept = bench.run(inputs.base(), args.linux, args.qemu,
                         bench.BLOCKS if args.blocks else bench.PAGES, args.quick,
                         args.output or bench.OUTPUT)
    return 1 if args.check and not kept else 0


def _docs(args: argparse.Namespace) -> int:
    return docs.run(args.output, args.pictures, args.figures)


def _where(args: argparse.Namespace) -> Path:
    return args.dir or inputs.REPO / "build" / "-".join(("linux", *inputs.option().split()[1:]))


def _tree(args: argparse.Namespace) -> int:
    needs.ensure("tree")
    where = _where(args)
    base = kernel.source(inputs.base(), args.linux)
    if base.commit is None:
        raise Problem(f"{base.tree} is not a base: it has the series already")
    files = series.patches()
    with cache.lock(f"linux/{base.tree.parent.name}"):
        head = series.commits(base.tree, base.commit, files)
        series.make_tree(base.tree, base.commit, head, where)
    option = inputs.option()
    say(f"{where}: {base.name} and {len(files)} commits on it. Build and boot it with"
        f" 'scripts/kpkeys run{option} --linux {where}', write patches/ with"
        f" 'scripts/kpkeys refresh{option}'")
    return 0


def _refresh(args: argparse.Namespace) -> int:
    needs.ensure("refresh")
    series.refresh(_where(args))
    return 0


def _interrupt(*_: object) -> None:
    """End as Ctrl-C does, so that no child is left behind."""
    raise KeyboardInterrupt


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        needs.choose(not args.no_install)
        inputs.choose(getattr(args, "base", None))
        return args.act(args)
    except Problem as err:
        clear()
        print(f"kpkeys: {err}", file=sys.stderr)
    except OSError as err:
        clear()
        what = ("the disk is full; make room and run the command again" if is_full(err)
                else "cannot go on")
        print(f"kpkeys: {what}: {err}", file=sys.stderr)
    except KeyboardInterrupt:
        clear()
        print("kpkeys: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 2


