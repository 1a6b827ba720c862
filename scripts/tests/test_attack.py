# SPDX-License-Identifier: GPL-2.0
"""What 'run --attack' shows of a console."""

from __future__ import annotations

from kpkeyslib import attack, demo

from .support import Scratch

STOPPED = """\
kpkeys-demo: attack-begin id=2 target=driver level=pte kind=rehearsal data=old
kpkeys-demo: step id=2 what=walk entr
kpkeys-demo: step id=2 what=walk entry=0x10
kpkeys-demo: step id=2 what=store entry=0x10
kpkeys-demo: attack-end id=2 target=driver level=pte kind=rehearsal result=refused data=old
"""
DONE = STOPPED.replace("kpkeys-demo: attack-end", """\
kpkeys-demo: step id=2 what=stored
kpkeys-demo: step id=2 what=written page=0x20
kpkeys-demo: attack-end""").replace("result=refused data=old", "result=allowed data=new")


class Screen(Scratch):
    def test_side_by_side(self) -> None:
        attack._show(demo.records(STOPPED), demo.records(DONE))
        rows = {line[5:40].strip(): line[54:].split("  ") for line in
                self.screen.getvalue().splitlines()}
        cells = {text: [cell.strip() for cell in row if cell] for text, row in rows.items()}
        self.assertEqual(cells["follow the page tables, by the bug,"], ["0x10", "0x10"])
        self.assertEqual(cells["store there, by the bug"], ["REFUSED, process killed", "done"])
        self.assertEqual(cells["write to the page in user space"], ["-", "done"])
        self.assertEqual(cells["=> the data after that"], ["old", "new"])
        self.assertNotIn("put the entry back, so that nobody", cells)
