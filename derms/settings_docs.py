"""`.env.example` and `docs/settings.md`, made from the settings class; a test holds the checked-in files to it."""

from pathlib import Path

from pydantic.fields import FieldInfo

from derms.settings import Settings, shown
from derms.settings_about import about
from derms.settings_names import names_of

ENV_EXAMPLE = Path(".env.example")
SETTINGS_PAGE = Path("docs/settings.md")

_ENV_HEAD = """\
# Settings of derms, as environment variables. Copy to `.env` and take the `# ` away from what you change.
# Made from the settings class; `python -m derms.settings_docs` makes it anew.
"""
_PAGE_HEAD = """\
# Settings

Made from the settings class; `python -m derms.settings_docs` makes it anew.

The first that has a value wins: command-line flags, environment, `.env` in the working directory, the files of
`secrets_dir`, TOML file, default.
The TOML file is the one named by `--config` or `DERMS_CONFIG`, else `$XDG_CONFIG_HOME/derms/config.toml`, else
`/etc/derms/config.toml`. In TOML a setting has the name in the first column; as a variable it is `DERMS_` and that name
in capitals, or an older name from the last column (where both are given, `DERMS_` wins). `DB_HOST` and the other
`DB_` names make up the database's URL, `MQTT_HOST` and `MQTT_PORT` the broker's. An empty variable is not set. Unknown
settings are refused.

| setting | default | what it is | older names |
|---|---|---|---|
"""


def render_env_example(settings_class: type[Settings]) -> str:
    """The text of `.env.example`: every setting, commented out, with its default and its older names."""
    parts, told = [_ENV_HEAD], about(settings_class)
    for name, field in settings_class.model_fields.items():
        ours, *older = names_of(name)
        lines = [f"# {told[name]}"]
        lines += [f"# Older names: {', '.join(older)}"] if older else []
        lines.append(f"# {ours}={_default(field)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def render_settings_page(settings_class: type[Settings]) -> str:
    """The text of `docs/settings.md`: one row a setting."""
    rows, told = [], about(settings_class)
    for name, field in settings_class.model_fields.items():
        default = _default(field)
        older = ", ".join(f"`{other}`" for other in names_of(name)[1:])
        rows.append(f"| `{name}` | {f'`{default}`' if default else ''} | {told[name]} | {older} |\n")
    return _PAGE_HEAD + "".join(rows)


def write(root: Path) -> None:
    """Make both files anew below `root`."""
    (root / ENV_EXAMPLE).write_text(render_env_example(Settings), encoding="utf-8")
    (root / SETTINGS_PAGE).write_text(render_settings_page(Settings), encoding="utf-8")


def _default(field: FieldInfo) -> str:
    """As one would write it in a variable; nothing when it depends on the machine or is unset."""
    if field.default_factory is not None or field.default is None or field.default == ():
        return ""
    return shown(field.default)


if __name__ == "__main__":
    write(Path.cwd())
