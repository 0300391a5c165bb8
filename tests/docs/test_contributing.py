"""`CONTRIBUTING.md` and the hooks that it names, against the Makefile and the tree."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.processes import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
HOOKS: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))


def test_every_target_that_it_names_is_one() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) | {".venv/.test"}
    named = set(re.findall(r"(?:^|`|JOBS=1 )make ([a-z./-]+)", PAGE, re.MULTILINE))
    assert named, "it names some"
    assert named <= targets, named - targets


def test_every_file_and_directory_that_it_names_is_there() -> None:
    named = re.findall(r"`((?:derms|tests|deploy|docs|scripts|requirements)/[a-z_./-]+)`", PAGE)
    assert len(named) > 15
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []
    rings = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert {name for name in rings if f"`tests/{name}`" not in PAGE} == set(), "a ring without a row"


def test_the_hooks_are_what_lint_runs_and_fetch_nothing() -> None:
    (only,) = HOOKS["repos"]
    assert only["repo"] == "local"
    recipe = MAKEFILE.partition("\nlint: ")[2].partition("\n\n")[0]
    lint = {line.removeprefix("\t$(BIN)/").removesuffix(" .") for line in recipe.splitlines()[1:]}
    hooked = {hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in only["hooks"]}
    assert hooked == lint
    for hook in only["hooks"]:
        assert hook["language"] == "system"
        assert Path(hook["entry"].split()[0]).parent == Path(".venv/bin")
