# SPDX-License-Identifier: GPL-2.0
"""Tests of a kernel that is configured as a distribution does it: Debian's, for arm64."""

from __future__ import annotations

from . import attack, boot, gadgets, guesttests, kernel, kunit, origins
from .testcase import Test

_MACHINES = (boot.LAZY, boot.LAZY_VHE, boot.LESSER, boot.BLOCKS, boot.NO_POE)


def tests() -> list[Test]:
    """The same as with our own configuration, on the machines that differ most."""
    chosen = [
        *map(guesttests.attacks, _MACHINES),
        guesttests.attacks(boot.LAZY, on=False),
        *map(guesttests.suites, (boot.LAZY, boot.BLOCKS)),
        attack.test(boot.LAZY),
        gadgets.test(),
    ]
    return [guesttests.kept(test._replace(name=f"Debian's configuration: {test.name}",
                                          variant=kernel.DEBIAN, quick=False),
                            *(module.__file__ for module in (attack, gadgets, kunit, origins)))
            for test in chosen]
