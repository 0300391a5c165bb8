"""The images, as far as they can be held to something without an engine that builds them."""

import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Stage, copied, inherited, read
from tests.processes import ROOT, Programs, eventually

DEFAULTS, STAGES = read(ROOT / "Dockerfile")
TARGETS = ("agent", "sim", "serve")
SECRET = re.compile(r"password|secret|token|credential|_key\b", re.IGNORECASE)
HEALTHCHECK = ROOT / "deploy" / "docker" / "healthcheck.py"


def test_every_image_stands_on_one_that_is_pinned_by_its_tag() -> None:
    assert re.fullmatch(r"python:3\.11-slim-bookworm", DEFAULTS["PYTHON_IMAGE"])
    outside = {stage.parent for stage in STAGES.values()} - set(STAGES)
    assert outside == {"${PYTHON_IMAGE}"}


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_derms_as_nobody_in_particular_and_says_how_it_does(target: str) -> None:
    steps = inherited(STAGES, target)
    by_word = {step.word: step.rest for step in steps}
    assert re.fullmatch(r"[1-9]\d{3,}", by_word["USER"]), "a number, for Kubernetes to see that it is not root"
    last_user = max(index for index, step in enumerate(steps) if step.word == "USER")
    assert "RUN" not in {step.word for step in steps[last_user:]}
    assert json.loads(by_word["ENTRYPOINT"]) == ["derms"]
    check = by_word["HEALTHCHECK"].partition("CMD ")[2]
    assert json.loads(check)[:2] == ["python", "/usr/local/lib/derms/healthcheck.py"]
    assert by_word["VOLUME"] == "/var/lib/derms", "all that is written to, so that the root can be read-only"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_is_told_to_do_what_derms_knows(target: str) -> None:
    words = json.loads(STAGES[target].all("CMD")[0])
    command = [word for word in words if not word.startswith(("-", "/"))]
    asked = [sys.executable, "-m", "derms", *command, "--help"]
    assert "Usage: derms" in subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout


def test_nothing_is_added_from_elsewhere_and_nothing_is_secret() -> None:
    for stage in STAGES.values():
        for step in stage.steps:
            assert step.word != "ADD"
            assert "://" not in step.rest, step.rest
            assert not (step.word in ("ENV", "ARG") and SECRET.search(step.rest)), step.rest
            assert not re.search(r"\bsudo\b|\bcurl\b|\bwget\b|:latest\b|chmod (-R )?777", step.rest), step.rest


def test_what_comes_from_the_index_is_pinned_by_hash() -> None:
    for stage in STAGES.values():
        for rest in stage.all("RUN"):
            for command in rest.split("&&"):
                if re.search(r"\bpip\b.* install ", command):
                    assert "--require-hashes" in command or "--no-index" in command, command
    for name in ("build", "base", "agent"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        assert all(line.endswith(" \\") for line in re.findall(r"^[a-z].*$", text, re.MULTILINE))
        assert "://" not in text


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


def test_the_images_hold_the_releases_that_are_tested() -> None:
    base, agent, dev = pins("base"), pins("agent"), pins("dev")
    assert base.items() <= agent.items()
    assert agent.items() <= dev.items()
    assert {"pymodbus", "ocpp"} <= agent.keys() - base.keys()


def allowed(path: str) -> bool:
    """Whether .dockerignore lets a path through."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = True
    for rule in (rule for rule in rules if rule and not rule.startswith("#")):
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = [path, *map(str, Path(path).parents), Path(path).name]
        if any(fnmatch.fnmatch(part, pattern) for part in parts):
            kept = rule.startswith("!")
    return kept


def test_the_builder_is_given_what_is_copied_and_no_more() -> None:
    wanted = [source for stage in STAGES.values() for source in copied(stage)]
    assert all((ROOT / source).exists() for source in wanted)
    assert all(allowed(source) for source in wanted)
    for kept_out in (
        ".git/config",
        ".env",
        "tests/live.py",
        "deploy/kubernetes/base/kustomization.yaml",
        "derms/x.pyc",
        ".venv/x",
    ):
        assert not allowed(kept_out), kept_out


def test_what_is_copied_is_enough_for_the_wheel_which_knows_its_commit(tmp_path: Path) -> None:
    build: Stage = STAGES["build"]
    source = tmp_path / "src"
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in copied(build):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=ignore)
        else:
            shutil.copy(ROOT / name, target)
    command = next(rest for rest in build.all("RUN") if "pip wheel" in rest).partition("&&")[0].split()
    assert command[:2] == ["pip", "wheel"]
    place = command.index("--wheel-dir") + 1
    command[place] = str(tmp_path / "wheels")
    subprocess.run(
        [sys.executable, "-m", *command],
        cwd=source,
        # There is no git in the image.
        env={"PATH": str(Path(sys.executable).parent), "SOURCE_COMMIT": "0123456789" * 4, "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = (tmp_path / "wheels").glob("derms-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read("derms/commit.txt").decode() == "0123456789" * 4
    assert {"derms/serve/daemon.py", "agent/process.py", "sim/runner.py"} <= set(names)
    assert any(name.endswith(".sql") for name in names)


def health(mode: str, **environment: object) -> tuple[int, str]:
    said = subprocess.run(
        [sys.executable, HEALTHCHECK, mode],
        env={"PATH": os.environ["PATH"], **{key: str(value) for key, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return said.returncode, said.stdout


def test_a_frozen_controller_is_found_unhealthy_by_both_checks(programs: Programs, postgres_url: str) -> None:
    daemon = programs.serve(embedded_broker_port=0, database_url=postgres_url)
    where = {"DERMS_API_PORT": daemon.api.rpartition(":")[2], "HEALTHCHECK_PID": daemon.pid}
    assert health("api", **where) == (0, "well\n")
    assert health("process", **where) == (0, "well\n")
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        assert health("process", **where) == (1, f"process {daemon.pid} has not woken for 3 s\n")
        code, said = health("api", **where)
        assert (code, "timed out" in said) == (1, True)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    eventually(lambda: health("api", **where)[0] == 0, "the controller that goes on is well again")
