# SPDX-License-Identifier: GPL-2.0
"""What became of the tests: tables of it, and what passed and need not run again."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import cache, guest, inputs, kernel
from .testcase import Setting, Test

DIRECTORY = inputs.REPO / "build" / "results"
# As the lines on the screen have it
WORDS = {"passed": "ok", "failed": "not ok", "skipped": "skip", "kept": "kept", "not run": "-"}


class Result(NamedTuple):
    """One test: passed, failed, skipped, kept (it passed before) or not run."""

    name: str
    outcome: str
    seconds: float = 0
    remark: str = ""

    def line(self) -> str:
        """As on the screen."""
        return (f"{WORDS[self.outcome]:6} {self.name} ({self.seconds:.1f} s)"
                + (f": {self.remark}" if self.remark else ""))


def key(test: Test, setting: Setting) -> str:
    """A hash of all that the test's result depends on."""
    built = setting.kernel
    modules = [built.directory / name for name in kernel.MODULES]
    return cache.digest([test.name, *test.inputs, built.image, *modules, guest.programs().name,
                         setting.emulator.binary])


def recall(test: Test, setting: Setting) -> Result | None:
    """The result of a test that passed before with the same inputs."""
    path = cache.root() / "passed" / key(test, setting)
    try:
        seconds, remark = json.loads((path / "result.json").read_text())
    except FileNotFoundError:
        return None
    return Result(test.name, "kept", seconds, remark)


def remember(test: Test, setting: Setting, result: Result) -> None:
    """Note that a test passed, or that it does no longer."""
    name = key(test, setting)
    if result.outcome == "passed":

        def make(partial: Path) -> None:
            text = json.dumps([result.seconds, result.remark])
            (partial / "result.json").write_text(text)

        cache.entry("passed", name, make)
    else:
        cache.discard(cache.root() / "passed" / name)


def summary(found: Sequence[Result]) -> str:
    """The last line of 'kpkeys test'. What was kept has passed."""
    count = {word: sum(result.outcome == word for result in found) for word in WORDS}
    text = f"{count['passed'] + count['kept']} passed, {count['failed']} failed"
    for word in ("skipped", "not run"):
        text += f", {count[word]} {word}" if count[word] else ""
    kept = f" ({count['kept']} of those that passed did so before)"
    return text + (kept if count["kept"] else "")


def _plain(text: str) -> str:
    """Without what XML has no way to say, such as the escapes of a terminal."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)


def markdown(found: Sequence[Result], about: str) -> str:
    lines = [summary(found), "", *([about, ""] if about else []), "| test | result | seconds | |",
             "| --- | --- | ---: | --- |"]
    for result in found:
        name, remark = (" ".join(_plain(text).splitlines()[:1]).replace("|", "\\|")
                        for text in (result.name, result.remark))
        time = f"{result.seconds:.1f}" if result.outcome not in ("skipped", "not run") else ""
        lines.append(f"| {name} | {result.outcome} | {time} | {remark} |")
    return "\n".join(lines) + "\n"


def junit(found: Sequence[Result]) -> str:
    """JUnit's XML: a test case for each test, its class the part before the colon."""
    count = {word: sum(result.outcome == word for result in found) for word in WORDS}
    suite = ET.Element("testsuite", name="kpkeys", tests=str(len(found)), errors="0",
                       failures=str(count["failed"]),
                       skipped=str(count["skipped"] + count["not run"]),
                       time=f"{sum(result.seconds for result in found):.1f}")
    for result in found:
        group, _, name = result.name.partition(": ")
        case = ET.SubElement(suite, "testcase", classname=f"kpkeys.{group}", name=name,
                             time=f"{result.seconds:.1f}")
        text = _plain(result.remark)
        first = text.splitlines()[0] if text else ""
        if result.outcome == "failed":
            ET.SubElement(case, "failure", message=first).text = text
        elif result.outcome in ("skipped", "not run"):
            ET.SubElement(case, "skipped", message=text or result.outcome)
        elif text:
            kept = "passed before with the same inputs: " if result.outcome == "kept" else ""
            ET.SubElement(case, "system-out").text = kept + text
    tree = ET.Element("testsuites")
    tree.append(suite)
    return ET.tostring(tree, encoding="unicode", xml_declaration=True) + "\n"


def write(found: Sequence[Result], about: str, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    cache.write(into / "results.md", markdown(found, about))
    cache.write(into / "results.xml", junit(found))
