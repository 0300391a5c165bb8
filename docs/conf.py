"""The site over these pages: `make docs` builds it into build/site, without the network.

The source is the whole repository, so that a link from a page to a file beside `docs/` means on the site what it means
in the repository: another page, or the file itself, which is copied. What stands on the left comes from the lists of
`docs/index.md`, so there is one list of the pages.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

project = "derms"
copyright = "the derms authors, Apache License 2.0"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "*.md", "sim/data/SOURCES.md"]
# Not even looked into.
exclude_patterns = [".*", "build", "dist", "node_modules"]
nitpicky = True

# As GitHub reads pages: its tables and its anchors.
myst_heading_anchors = 6

html_theme = "furo"
html_title = "derms"
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it would ask for the pages, which a browser refuses from a disk
html_theme_options = {"top_of_page_buttons": []}
html_css_files = ["site.css"]
html_static_path = ["static"]

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"^- \[[^\]]+\]\(([^)#]+)\.md\)", re.MULTILINE)


def _add_navigation(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a hidden table of contents below each list of the front page."""
    if docname != root_doc:
        return
    head, *rest = _SECTION.split(source[0])
    parts = [head]
    for title, text in zip(rest[::2], rest[1::2], strict=True):
        trees = "\n".join(_ENTRY.findall(text))
        parts.append(f"## {title}{text}\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{trees}\n```\n\n")
    source[0] = "".join(parts)


def _lead_in(app: Sphinx, error: Exception | None) -> None:
    """Let the site open at its front page, which is not at its top."""
    if error is None and app.builder.name == "html":
        text = '<!doctype html>\n<meta charset="utf-8">\n<title>derms</title>\n'
        text += f'<meta http-equiv="refresh" content="0; url={root_doc}.html">\n<a href="{root_doc}.html">derms</a>\n'
        (Path(app.outdir) / "index.html").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _lead_in)
