"""Tell the wheel which commit it was built of."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `derms/commit.txt`, which `derms.version` reads; a checkout tells it by itself."""

    _directory = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the wheel is built."""
        commit = os.environ.get("SOURCE_COMMIT") or self._checked_out()
        if version == "standard" and commit:
            self._directory = tempfile.mkdtemp(prefix="derms-build-")
            file = Path(self._directory) / "commit.txt"
            file.write_text(commit)
            build_data["force_include"][str(file)] = "derms/commit.txt"

    def _checked_out(self) -> str:
        """What git says; nothing where there is no checkout, or no git, as in the image."""
        if shutil.which("git") is None:
            return ""
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=self.root, capture_output=True, text=True, check=False
        )  # fmt: skip
        return asked.stdout if asked.returncode == 0 else ""

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After it was built."""
        if self._directory:
            shutil.rmtree(self._directory)
