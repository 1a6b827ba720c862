# SPDX-License-Identifier: GPL-2.0
"""Sphinx: how these documents become HTML; scripts/kpkeys docs runs it."""

from __future__ import annotations

import re
from pathlib import Path

PATCHES = Path(__file__).resolve().parent.parent / "patches"

project = "kpkeys"
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {
    "description": "page tables that the kernel itself cannot write",
    "page_width": "1180px",
    "body_max_width": "900px",
}
html_sidebars = {"**": ["about.html", "localtoc.html", "navigation.html", "searchbox.html"]}
html_show_copyright = False
html_copy_source = False
exclude_patterns = ["pictures"]
extensions = ["sphinx.ext.autosectionlabel"]
autosectionlabel_prefix_document = True


def _kernel_documents(app, page: str, source: list[str]) -> None:
    """Where a page names a document of the kernel, put it in as the patch has it that adds it."""
    def text(found: re.Match[str]) -> str:
        added = re.compile(rf"^\+\+\+ b/{re.escape(found[1])}\n@@ -0,0 .*\n((?:\+.*\n)+)", re.M)
        for patch in sorted(PATCHES.glob("*.patch")):
            body = added.search(patch.read_text())
            if body:
                lines = re.sub(r"^\+", "", body[1], flags=re.M)
                # What follows is made of comments in the code, by an extension of the kernel's
                return lines.partition("\nFunctions\n=========\n")[0] + "\n"
        raise FileNotFoundError(f"no patch adds {found[1]}")

    source[0] = re.sub(r"^\.\. in-kernel:: (\S+)$", text, source[0], flags=re.M)


def setup(app) -> None:
    app.connect("source-read", _kernel_documents)
