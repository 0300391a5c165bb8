"""Links of the README and the pages, and names that must stand on them."""

import re
import tomllib
from pathlib import Path

import pytest

from derms.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in kept}


def broken(page: Path) -> list[str]:
    found = []
    for target in _LINK.findall(prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_anchor_resolves(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](no.md) [b](#one-thing) [c](#another) [`d`](page.md#one-thing)\n")
    assert broken(page) == ["no.md", "#another"]


def test_the_readme_leads_to_every_page() -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in _LINK.findall(prose(ROOT / "README.md"))}
    # What is shown beside the code by itself need not be led to.
    alone = {"README.md", "SECURITY.md"}
    assert [page.name for page in PAGES if page.name not in alone and page.resolve() not in linked] == []


def test_every_metric_stands_on_the_operations_page_and_no_other() -> None:
    page = prose(ROOT / "docs" / "operations.md")
    listed = set(re.findall(r"^\| `(derms_[a-z_]+)` \|", page, re.MULTILINE))
    # Those of the process and of Python stand there by what they begin with.
    families = [one for one in Metrics(version="0").registry.collect() if one.name.startswith("derms_")]
    assert listed == {family.name + ("_total" if family.type == "counter" else "") for family in families}


def test_every_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {re.split(r"[\[<>=,;]", requirement)[0] for requirement in wanted}
    listed = set(re.findall(r"^\| `([a-z0-9-]+)` \|", prose(ROOT / "docs" / "dependencies.md"), re.MULTILINE))
    assert names <= listed, names - listed
