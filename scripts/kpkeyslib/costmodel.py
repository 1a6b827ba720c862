# SPDX-License-Identifier: GPL-2.0
"""An estimate of time from counts, fitted to the times that were posted for another machine.

    overhead = (added ISBs * c_isb + writes of POR_EL1 * c_por + added instructions) / instructions

where the instructions are those of the base kernel and the costs are in instructions, each of
which takes the same time, so that this time cancels out. This is crude: what an ISB takes depends
on what the CPU has under way, and instructions are not alike. How wrong it is can be told from
where it is known what comes out, and that must be said wherever the estimate is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from . import counts, inputs
from .counts import INSNS, ISB, POR, Workloads
from .term import Problem

POSTED = inputs.REPO / "bench" / "posted.csv"
_HEADS = ["benchmark", "row", "without", "with", "per", "isb", "por"]
# Without batching there is an ISB for each write of POR_EL1, so that only the sum of what both
# cost can be fitted. With batching, vm_map_ram-1 has three ISBs for four writes instead of four,
# and takes 3.4 points of 30.7 less: an ISB would be 0.44 of a pair. From fix_size-1, six pairs
# that become three ISBs and four writes for 2.7 points of 17.4, it would be less than nothing. No
# more than that can be said.
ISB_SHARE = 0.5


class Posted(NamedTuple):
    """A line of the table that was posted, in %."""

    benchmark: str
    row: str  # ours that is the same, or ""
    without: float
    batched: float
    per: str  # isb and por are per page-table page, or per operation
    isb: float
    por: float


class Model(NamedTuple):
    """What a write of POR_EL1 and an ISB cost, in instructions of the base kernel."""

    isb: float
    por: float
    # Estimate by posted figure without batching, row by row
    ratios: dict[str, float]

    def overhead(self, base: counts.Row, isb: float, por: float, insns: float) -> float:
        """The estimate for a row, in %."""
        return 100 * (isb * self.isb + por * self.por + insns) / base.counts[INSNS]

    def of(self, base: counts.Row, other: counts.Row) -> float:
        isb, por, insns = (other.counts[which] - base.counts[which]
                           for which in (ISB, POR, INSNS))
        return self.overhead(base, isb, por, insns)

    def of_posted(self, base: counts.Row, line: Posted) -> float:
        """For the batching that was posted: its barriers only."""
        units = base.tables if line.per == "table" else base.operations
        return self.overhead(base, units * line.isb, units * line.por, 0)

    def spread(self) -> float:
        """The factor that the estimate is off by in the mean, either way."""
        return math.exp(math.sqrt(fmean(math.log(ratio) ** 2 for ratio in self.ratios.values())))

    def worst(self) -> tuple[float, str]:
        """The factor that it is off by at most, and the row."""
        factors = {name: max(ratio, 1 / ratio) for name, ratio in self.ratios.items()}
        name = max(factors, key=lambda name: factors[name])
        return factors[name], name


def posted(path: Path = POSTED) -> list[Posted]:
    lines = counts.read_table(path)[1]
    if not lines or lines[0] != _HEADS:
        raise Problem(f"{path}: its columns are not {','.join(_HEADS)}")
    return [Posted(name, row, float(without), float(batched), per, float(isb or 0),
                   float(por or 0))
            for name, row, without, batched, per, isb, por in lines[1:]]


def _least(value, low: float, high: float) -> float:
    """Where a function that first falls and then rises is least."""
    for _ in range(200):
        third = (high - low) / 3
        if value(low + third) <= value(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def fit(base: Workloads, unbatched: Workloads, known: Iterable[Posted]) -> Model | None:
    """Fit the sum to the figures without batching; None if there are none of these rows.

    Least squares of the logarithms: the rows range from 15 to 275 %, and what is wrong is so by a
    factor, such as that of instructions that take longer. Else the two rows of fork() would
    decide.
    """
    lines = [line for line in known if line.row in base and line.row in unbatched]

    def estimates(pair: float) -> Mapping[str, float]:
        model = Model(ISB_SHARE * pair, (1 - ISB_SHARE) * pair, {})
        return {line.row: model.of(base[line.row], unbatched[line.row]) / line.without
                for line in lines}

    def wrong(log: float) -> float:
        # Fewer instructions than on the base kernel can outweigh a pair that costs little
        return sum(math.log(max(ratio, 1e-9)) ** 2 for ratio in estimates(math.exp(log)).values())

    if not lines:
        return None
    pair = math.exp(_least(wrong, 0, math.log(1e5)))
    return Model(ISB_SHARE * pair, (1 - ISB_SHARE) * pair, dict(estimates(pair)))


def points_off(estimated: Mapping[str, float], lines: Iterable[Posted]) -> float:
    """How far the estimates are from the figures with batching, in the mean (RMS), in points."""
    return math.sqrt(fmean((estimated[line.row] - line.batched) ** 2
                           for line in lines if line.row in estimated))
