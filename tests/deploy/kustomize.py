"""As much of kustomize as the overlays use, so that what they come to is tested without it; and kustomize, where it is.

A generated ConfigMap keeps its name here; kustomize adds a hash to it, which `without_hashes` takes off again.
"""

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

Thing = dict[str, Any]

_KEYS = {"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator", "patches"}
_CLUSTER_WIDE = {"Namespace"}


def compose(directory: Path) -> list[Thing]:
    """What a kustomization comes to."""
    told = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(told) <= _KEYS, f"{directory} uses what is not known here: {set(told) - _KEYS}"
    things: list[Thing] = []
    for name in told["resources"]:
        path = (directory / name).resolve()
        if path.is_dir():
            things += compose(path)
        else:
            things += [thing for thing in yaml.safe_load_all(path.read_text(encoding="utf-8")) if thing]
    # Anchors make two places one object.
    things = [copy.deepcopy(yaml.safe_load(yaml.dump(thing))) for thing in things]
    for asked in told.get("configMapGenerator", []):
        data = dict(line.split("=", 1) for line in asked.get("literals", []))
        data |= {name: (directory / name).read_text(encoding="utf-8") for name in asked.get("files", [])}
        _generate(things, asked["name"], data, merge=asked.get("behavior") == "merge")
    for image in told.get("images", []):
        for container in containers_of(things):
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    for patch in told.get("patches", []):
        target = next(thing for thing in things if thing["kind"] == patch["target"]["kind"]
                      and thing["metadata"]["name"] == patch["target"]["name"])  # fmt: skip
        for step in yaml.safe_load(patch["patch"]):
            _replace(target, step)
    if "namespace" in told:
        for thing in things:
            if thing["kind"] not in _CLUSTER_WIDE:
                thing["metadata"]["namespace"] = told["namespace"]
            for subject in thing.get("subjects", []):
                subject["namespace"] = told["namespace"]
    return things


def _generate(things: list[Thing], name: str, data: dict[str, str], *, merge: bool) -> None:
    if merge:
        there = next(thing for thing in things if thing["kind"] == "ConfigMap" and thing["metadata"]["name"] == name)
        there["data"] |= data
    else:
        things.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def _replace(target: Thing, step: Thing) -> None:
    """RFC 6902, `replace` alone."""
    assert step["op"] == "replace", step
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    place: Any = target
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    key: Any = int(last) if isinstance(place, list) else last
    assert place[key] is not None, f"{step['path']} is not there to be replaced"
    place[key] = step["value"]


def pod_specs(things: list[Thing]) -> list[Thing]:
    """The pods that the objects make."""
    found = []
    for thing in things:
        spec = thing.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found.append(spec["template"]["spec"])
    return found


def containers_of(things: list[Thing]) -> list[Thing]:
    """All their containers."""
    return [container for spec in pod_specs(things) for container in spec["containers"]]


def built(directory: Path) -> list[Thing] | None:
    """What kustomize itself makes of it; None: it is not on this machine."""
    for command in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(command[0]):
            said = subprocess.run([*command, directory], capture_output=True, text=True, timeout=60, check=True)
            return [thing for thing in yaml.safe_load_all(said.stdout) if thing]
    return None


def without_hashes(things: list[Thing]) -> list[Thing]:
    """With the names that the generators were given."""
    text = re.sub(r"\b(derms-(?:settings|role))-[a-z0-9]{10}\b", r"\1", yaml.safe_dump_all(things))
    return [thing for thing in yaml.safe_load_all(text) if thing]
