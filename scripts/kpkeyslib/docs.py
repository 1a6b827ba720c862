# SPDX-License-Identifier: GPL-2.0
"""'kpkeys docs': the documents as HTML, and their pictures from their sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from . import cache, figures, inputs, needs, proc
from .term import Problem, Progress, say

DOCUMENTS = inputs.REPO / "Documentation"
PICTURES = DOCUMENTS / "pictures"
OUTPUT = inputs.REPO / "build" / "html"
LOG = inputs.REPO / "build" / "docs.log"

# Sources name colours as pikchr and CSS do; what they are on a dark screen
DARK = {
    "rgb(0,0,0)": "#e6edf3",  # ink
    "rgb(255,255,255)": "#0d1117",  # paper
    "rgb(105,105,105)": "#9198a1",  # dimgray: remarks
    "rgb(220,220,220)": "#30363d",  # gainsboro: what is as on any kernel
    "rgb(192,192,192)": "#484f58",  # silver: barriers
    "rgb(176,224,230)": "#14506e",  # powderblue: page tables are read-only
    "rgb(255,218,185)": "#8a4513",  # peachpuff: page tables are writable
    "rgb(152,251,152)": "#1f6f34",  # palegreen: stores to entries
}
_FONT = "svg { font-family: 'DejaVu Sans', Verdana, sans-serif; font-size: 16px; }"

_BUILDING = re.compile(r"(?:reading|writing)[a-z ]*\.\.\. *\[ *\d+%\].*")


def sources() -> list[Path]:
    return sorted(PICTURES.glob("*.pikchr"))


def _mark(source: Path) -> str:
    """For those who have no pikchr to know that a picture is not up to date."""
    return f"<!-- of {source.name} {cache.digest([source, _FONT, repr(DARK)])} -->"


def is_of(source: Path) -> bool:
    """Whether the picture beside a source has been made of it as it is."""
    made = source.with_suffix(".svg")
    return made.exists() and _mark(source) in made.read_text()


def picture(source: Path) -> str:
    """The SVG that pikchr, which fossil has in it, makes of a source; for dark screens, too."""
    made = proc.output(["fossil", "pikchr", source], f"pikchr: {source.name}")
    size = re.match(r"<svg [^>]*viewBox=\"0 0 ([\d.]+) ([\d.]+)\"[^>]*>", made)
    if not size:
        raise Problem(f"pikchr: {source.name}: {' '.join(made.split())[:200]}")
    unknown = set(re.findall(r"rgb\([\d,]+\)", made)) - DARK.keys()
    if unknown:
        raise Problem(f"{source.name}: no dark colour for {', '.join(sorted(unknown))} in docs.py")
    rules = [f'[fill="{light}"] {{ fill: {dark}; }}\n'
             f'[style*="fill:{light}"] {{ fill: {dark} !important; }}\n'
             f'[style*="stroke:{light}"] {{ stroke: {dark} !important; }}'
             for light, dark in DARK.items() if light in made]
    width, height = size.groups()
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">',
        _mark(source),
        "<style>", _FONT, ".paper { fill: #ffffff; }",
        "@media (prefers-color-scheme: dark) {", ".paper { fill: #0d1117; }", *rules, "}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    return "\n".join(head) + made[size.end():].rstrip() + "\n"


def draw(where: Path) -> None:
    """Make all pictures."""
    where.mkdir(parents=True, exist_ok=True)
    for source in sources():
        (where / source.with_suffix(".svg").name).write_text(picture(source))


def _pictures() -> Iterator[str]:
    """What is not as the command makes it."""
    for source in sources():
        made = source.with_suffix(".svg")
        if not made.exists() or made.read_text() != picture(source):
            yield f"{made.name} is not what 'kpkeys docs --pictures' makes of {source.name}"


def _html(output: Path) -> Iterator[str]:
    """What Sphinx says of the documents."""
    LOG.unlink(missing_ok=True)
    warnings = LOG.with_suffix(".warnings")
    progress = Progress("Making HTML")
    try:
        proc.run(["sphinx-build", "-W", "--keep-going", "-n", "-E", "-b", "html",
                  "-d", LOG.with_suffix(".doctrees"), "-w", warnings, DOCUMENTS, output],
                 LOG, "sphinx-build", progress=progress,
                 state=lambda line: line.strip() if _BUILDING.match(line) else None)
    except Problem:
        said = warnings.read_text().splitlines() if warnings.exists() else []
        if not said:
            raise
        yield from said
    progress.done()


def remarks(output: Path = OUTPUT) -> list[str]:
    """Build the HTML; what is to be mended."""
    needs.ensure("docs")
    with cache.lock("docs", LOG):
        output.mkdir(parents=True, exist_ok=True)
        return [*_pictures(), *_html(output)]


def run(output: Path | None, pictures: bool, written: bool) -> int:
    if written:
        figures.update()
        problems = figures.stale()
        for text in problems:
            say(text)
        return 1 if problems else 0
    if pictures:
        needs.ensure("docs")
        draw(PICTURES)
    problems = remarks(output or OUTPUT)
    for text in problems:
        say(text)
    if not problems:
        say(f"{(output or OUTPUT) / 'index.html'}")
    return 1 if problems else 0
