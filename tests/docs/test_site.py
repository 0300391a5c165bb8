"""The site builds without a warning and without the network, and asks no other machine for anything."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from derms.reference.__main__ import pages
from tests.processes import ROOT

pytestmark = pytest.mark.timeout(300)  # building takes 12 s of a processor that may be shared

# Any connection fails, so that what needs one does too.
BUILD = """
import socket, sys
from sphinx.cmd.build import main
def refuse(*_):
    raise OSError("the site is built without the network")
socket.socket.connect = socket.socket.connect_ex = refuse
sys.exit(main(sys.argv[1:]))
"""
REMOTE = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""@import\s+["']([^"']+)|url\(\s*["']?([^"')]+)""")
IN_SCRIPT = re.compile(r"""(?:fetch|import|importScripts|open|src\s*=)\s*\(?\s*["'`]((?:https?:)?//[^"'`]*)""")


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does."""
    words = ["-W", "--keep-going", "-q", "-c", str(source / "docs"), "-d", str(target / "doctrees"), str(source)]
    return subprocess.run(
        [sys.executable, "-c", BUILD, *words, str(target / "site")], capture_output=True, text=True, timeout=240.0
    )


class Assets(HTMLParser):
    """Everything a page loads by itself, and what it leads to inside the site."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif tag == "a" and name in ("href", "xlink:href"):
                self.links.append(value or "")
            elif name in ("src", "href", "xlink:href", "srcset", "poster", "data", "action", "background"):
                self.loaded.append(value or "")
            elif name == "style":
                self.loaded += of_style(value or "")

    def handle_data(self, data: str) -> None:
        if self._style:
            self.loaded += of_style(data)


def of_style(text: str) -> list[str]:
    """What a style sheet loads."""
    return [one or other for one, other in IN_STYLE.findall(text)]


def loaded_by(path: Path) -> list[str]:
    """What a file of the site makes a browser load."""
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".html" | ".svg":
            assets = Assets()
            assets.feed(text)
            return assets.loaded
        case ".css":
            return of_style(text)
        case _:
            return IN_SCRIPT.findall(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT, target)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return target / "site"


def test_the_site_has_every_page_and_opens_at_its_front_page(site: Path) -> None:
    sources = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert [page.name for page in sources if not (site / page.relative_to(ROOT).with_suffix(".html")).exists()] == []
    assert "url=docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_nothing_of_the_site_is_loaded_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
    assert {path.suffix for path in files} == {".html", ".css", ".js", ".svg"}
    remote = {(path.name, one) for path in files for one in loaded_by(path) if REMOTE.match(one)}
    assert remote == set()


def test_what_a_page_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    found = {}
    for name, text in {
        "a.html": '<a href="https://a.example"><img src="//b.example/x.png"><style>@import "http://c.example"</style>',
        "b.css": "p { background: url( 'https://d.example/f.woff' ) }",
        "c.js": "fetch('https://e.example/x'); fetch('search.json')",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        found[name] = [one for one in loaded_by(tmp_path / name) if REMOTE.match(one)]
    assert found == {
        "a.html": ["//b.example/x.png", "http://c.example"],
        "b.css": ["https://d.example/f.woff"],
        "c.js": ["https://e.example/x"],
    }


def test_every_link_within_the_site_leads_to_a_file_and_an_anchor_of_it(site: Path) -> None:
    read: dict[Path, Assets] = {}
    for path in site.rglob("*.html"):
        read[path] = Assets()
        read[path].feed(path.read_text(encoding="utf-8"))
    broken = []
    for path, assets in read.items():
        for link in assets.links:
            if re.match(r"[a-z]+:", link) or link in ("", "#"):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.exists() or (anchor and target in read and anchor not in read[target].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "docs" / "static", source / "docs" / "static")
    shutil.copy(ROOT / "docs" / "conf.py", source / "docs")
    links = ("[a page](other.md)", "[an anchor](#no-such-heading)", "[a file](../no-such-file.py)")
    (source / "docs" / "index.md").write_text("# Pages\n\n" + "\n\n".join(links), encoding="utf-8")
    done = build(source, tmp_path)
    assert done.returncode != 0
    assert re.findall(r"docs/index\.md:(\d+)", done.stderr) == ["3", "5", "7"]


def test_the_reference_pages_say_what_the_code_says() -> None:
    stale = [path for path, text in pages().items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"


def test_what_the_site_needs_is_pinned_as_it_is_for_everything_else() -> None:
    dev, docs = (pinned(ROOT / "requirements" / name) for name in ("dev.txt", "docs.txt"))
    assert len(dev.keys() & docs.keys()) > 5
    assert {name: version for name, version in docs.items() if dev.get(name, version) != version} == {}


def pinned(path: Path) -> dict[str, str]:
    """Version by package."""
    return dict(re.findall(r"^([a-z0-9.-]+)(?:\[[^\]]*\])?==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))
