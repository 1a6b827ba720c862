# SPDX-License-Identifier: GPL-2.0
"""The matrix: that every pair of values meets."""

from __future__ import annotations

import itertools

from kpkeyslib import kernel, matrix, suite

from .support import Scratch


class Matrix(Scratch):
    def test_each_row_has_a_value_of_each_axis(self) -> None:
        for row in matrix.ROWS:
            for axis, values in matrix.AXES.items():
                self.assertIn(getattr(row, axis), values, row)

    def test_each_pair_meets_or_cannot(self) -> None:
        cannot = [pair for pair, _ in matrix.CANNOT]
        for one, other in itertools.combinations(matrix.AXES, 2):
            for values in itertools.product(matrix.AXES[one], matrix.AXES[other]):
                pair = dict(zip((one, other), values))
                met = any(pair.items() <= row._asdict().items() for row in matrix.ROWS)
                self.assertNotEqual(met, pair in cannot, pair)

    def test_each_kernel_is_booted_with_poe(self) -> None:
        kernels = {matrix.variant(row) for row in matrix.ROWS}
        self.assertEqual(kernels, {matrix.variant(r) for r in matrix.ROWS if r.poe != "off"})

    def test_the_kernels_can_be_configured(self) -> None:
        for row in matrix.ROWS:
            for path in kernel.fragments(matrix.variant(row)):
                self.assertTrue(path.is_file(), path)

    def test_the_machine_is_that_of_the_row(self) -> None:
        for row in matrix.ROWS:
            mode = matrix.mode(row)
            for word, there in (
                ("x-poe-lazy=on", row.poe == "lazy"), ("poe=off", row.poe == "off"),
                ("midr=", row.linear == "block"), ("lpa2=off", row.cpu == "lesser"),
                ("virtualization=on", row.level != "el1"), ("kpti=on", row.kpti == "kpti"),
                ("kvm-arm.mode=nvhe", row.level == "nvhe"),
            ):
                text = " ".join((mode.cpu, mode.machine, *mode.args))
                self.assertEqual(word in text, there, row)

    def test_a_quick_run_builds_one_kernel_more(self) -> None:
        tests = suite.tests()
        self.assertEqual(len({test.variant for test in tests if test.quick}), 2)
        names = [test.name for test in tests]
        self.assertEqual(len(names), len(set(names)))
