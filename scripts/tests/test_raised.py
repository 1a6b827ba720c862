# SPDX-License-Identifier: GPL-2.0
"""What ran while page tables were writable: addresses to functions, and what is wrong with them."""

from __future__ import annotations

from unittest import mock

from kpkeyslib import boot, demo, raised
from kpkeyslib.testcase import Skip

from .support import Scratch

MAP = """\
ffff800080000000 T _text
ffff800080000100 t kpkeys_write_entry
ffff800080000180 T __memset
ffff800080000180 W memset
ffff800080000200 T split_huge_pmd_locked
ffff800080000240 t folio_mark_accessed.part.0
ffff800080000280 T vfs_write
ffff800080000300 D _etext
ffff800080000400 d folio_pte_batch
"""


def line(address: int, by: int) -> str:
    return f"{0xffff800080000000 + address:x} {0xffff800080000000 + by:x}\n"


class Raised(Scratch):
    def test_functions_of_addresses(self) -> None:
        trace = line(0x104, 0x104) + line(0x10c, 0x208) + line(0x190, 0x100) + line(0x27c, 0x104)
        self.assertEqual(raised.read(trace, MAP), {
            "kpkeys_write_entry": {"kpkeys_write_entry", "split_huge_pmd_locked"},
            "memset": {"kpkeys_write_entry"},  # of two names, the one that is listed
            "folio_mark_accessed": {"kpkeys_write_entry"}})

    def test_what_is_outside_of_the_kernel(self) -> None:
        for address in (0x300, 0x408, 0x8a30fcc, -8):
            trace = line(address, address)
            where = hex(0xffff800080000000 + address)
            self.assertEqual(raised.read(trace, MAP), {where: {where}})
            self.assertEqual(raised.wrong(raised.read(trace, MAP)), [f"{where}, by {where}"])

    def test_a_function_that_is_not_listed(self) -> None:
        found = raised.read(line(0x104, 0x104) + line(0x284, 0x104), MAP)
        self.assertEqual(raised.wrong(found), ["vfs_write, by kpkeys_write_entry"])
        self.assertIn("NOT LISTED\n    vfs_write ", raised.table(found))

    def test_a_function_that_is_taken_out_of_the_list(self) -> None:
        found = raised.read(line(0x104, 0x104) + line(0x190, 0x104), MAP)
        self.assertEqual(raised.wrong(found), [])
        less = tuple(group._replace(functions=group.functions.replace(" memset", ""))
                     for group in raised.LISTED)
        with mock.patch.object(raised, "LISTED", less):
            # The other name of it is as good
            self.assertEqual(raised.wrong(raised.read(line(0x190, 0x104), MAP)),
                             ["__memset, by kpkeys_write_entry"])

    def test_only_stores_in_the_scope_of_a_guard(self) -> None:
        self.assertEqual(raised.wrong({"contpte_set_ptes": {"split_huge_pmd_locked"},
                                       "folio_mark_accessed": {"kpkeys_write_entry"}}), [])
        self.assertEqual(
            raised.wrong({"folio_mark_accessed": {"kpkeys_write_entry", "split_huge_pmd_locked"}}),
            ["folio_mark_accessed, in the scope of the guard of split_huge_pmd_locked"])

    def test_a_name_that_is_gone(self) -> None:
        (self.dir / "mm").mkdir()
        (self.dir / "mm/a.c").write_text(" ".join(raised.names(raised.LISTED) - {"clear_tables"}))
        with mock.patch.object(raised.series, "patches", return_value=[]):
            self.assertEqual(raised.gone(MAP, self.dir), ["clear_tables"])
            self.assertEqual(raised.gone(f"{MAP}ffff800080000010 t clear_tables\n", self.dir), [])

    def test_each_name_is_listed_once(self) -> None:
        every = [name for group in raised.LISTED for name in group.functions.split()]
        self.assertEqual(len(every), len(set(every)))
        for guard, name in raised._BESIDE_STORES:
            self.assertLessEqual({guard, name}, set(every))

    def run_with(self, trace: str) -> str:
        """The test on a boot that leaves this trace."""
        setting = mock.Mock()
        setting.kernel.directory = self.dir
        (self.dir / "System.map").write_text(MAP)

        def run(argv: list[str], *_: object) -> boot.Result:
            self.assertIn(f"p.so,out={self.dir}/raised.trace,bit=6", argv)
            (self.dir / "raised.trace").write_text(trace)
            return boot.Result("kpkeys-demo: ok 1\nkpkeys-demo: 1..1\n", 0, False, 1)

        with mock.patch.object(raised.bench, "plugin", return_value="p.so"), \
                mock.patch.object(raised.guest, "initramfs", return_value="i"), \
                mock.patch.object(boot, "command", return_value=["qemu"]), \
                mock.patch.object(boot, "run", run), \
                mock.patch.object(demo, "verdict", return_value=""), \
                mock.patch.object(raised, "gone", return_value=[]):
            return raised.test().run(setting, self.dir)

    def test_the_test_fails(self) -> None:
        good = line(0x104, 0x104)
        self.assertRegex(self.run_with(good), r"^1 functions of the \d+ listed; 1 points")
        with self.assertRaisesRegex(AssertionError, "1 that must not .*: vfs_write, by kpkeys_wr"):
            self.run_with(good + line(0x284, 0x104))
        with self.assertRaisesRegex(AssertionError, "not even"):
            self.run_with("")
        with mock.patch.object(raised.inputs, "has", return_value=False), \
                self.assertRaises(Skip):
            self.run_with(good)
