"""Every command as a page: docs/cli.md and the man pages, made of the commands themselves.

`make docs` writes them (`python -m derms.cli.reference`); a test holds what is written to what the commands say.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from derms import __version__
from derms.cli import app
from derms.cli.nouns import Root
from derms.cli.shared import SHARED_NAMES
from derms.cli.topics import Topic, topics

Row = tuple[str, str]

_DATE = "2026-11-29"
"""Of the man pages, as their format wants one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One command, or one group."""

    words: str
    """As it is typed: `derms dr create`."""
    usage: str
    what: list[str]
    """Paragraphs; the first sentence says it in short."""
    examples: list[str]
    arguments: list[Row]
    options: list[Row]
    """Its own; not those that many have."""
    asks: bool
    """It takes the options of all commands that ask a controller."""
    watches: bool
    below: list[Row]
    """Of a group: its commands and what they do."""


def entries() -> list[Entry]:
    """All of them, in the order of the help, each group before its commands."""
    root = typer.main.get_command(app)
    assert isinstance(root, Root)
    return list(_walk(root, typer.Context(root, info_name="derms")))


def shared() -> list[Row]:
    """The options that every command takes which asks a controller, and `--watch`."""
    root = typer.main.get_command(app)
    assert isinstance(root, Root)
    context = typer.Context(root, info_name="derms")
    command = root.get_command(context, "status")
    assert command is not None
    return [row for each in command.params if each.name in SHARED_NAMES and (row := each.get_help_record(context))]


def _walk(command: TyperCommand | TyperGroup, context: typer.Context) -> Iterator[Entry]:
    children = []
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert isinstance(child, TyperCommand | TyperGroup)
            children.append((name, child, typer.Context(child, parent=context, info_name=name)))
    yield _entry(command, context, [(name, child.get_short_help_str(200)) for name, child, _ in children])
    for _, child, below in children:
        yield from _walk(child, below)


def _entry(command: TyperCommand | TyperGroup, context: typer.Context, below: list[Row]) -> Entry:
    text, _, examples = (command.help or "").partition("\b\n")
    arguments, options = [], []
    names = {each.name for each in command.params}
    asks = SHARED_NAMES - {"watch"} <= names
    for each in command.params:
        # Who takes but some of them has them listed as its own.
        if (row := each.get_help_record(context)) is None or (asks and each.name in SHARED_NAMES):
            continue
        if isinstance(each, TyperArgument):
            arguments.append(row)
        elif isinstance(each, TyperOption):
            options.append(row)
    return Entry(
        words=context.command_path,
        usage=" ".join([context.command_path, *command.collect_usage_pieces(context)]),
        what=[" ".join(part.split()) for part in text.strip().split("\n\n") if part.strip()],
        examples=[line.strip() for line in examples.splitlines()[1:] if line.strip()],
        arguments=arguments,
        options=options,
        asks=asks,
        watches="watch" in names and "context" in names,
        below=below,
    )


def page() -> str:
    """docs/cli.md."""
    found = entries()
    parts = [_HEAD, _table_of([entry for entry in found[1:] if not entry.below])]
    parts += [f"#{topic.text}" for topic in topics().values()]
    parts.append("## Options of all commands that ask a controller\n\n" + _options(shared()))
    parts.append("## Every command\n\nThe options above are not repeated.")
    parts += [_section(entry) for entry in found[1:] if not entry.below]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


_HEAD = """\
<!-- Made by `make docs` of the commands themselves. Not to be edited. -->
# The command line

`derms` runs the controller, and asks one. What asks a controller speaks its [API](api.md) and nothing else, so it works
from any machine that reaches it. `derms COMMAND -h`, `derms help TOPIC` and `man derms` say the same as this page.

```sh
derms login op                                            # asks for the password
derms status
derms dr create --feeder feeder-1 --limit 150 --for 2h --wait
derms why ev-007
derms dr list -o name | derms dr cancel - --yes
```

## Commands
"""


def _table_of(found: list[Entry]) -> str:
    rows = [f"| [`{entry.words}`](#{_anchor(entry.words)}) | {_cell(entry.what[0] if entry.what else '')} |"
            for entry in found]  # fmt: skip
    return "\n".join(["| command | what |", "|---|---|", *rows])


def _anchor(words: str) -> str:
    return words.replace(" ", "-")


def _section(entry: Entry) -> str:
    parts = [f"### {entry.words}", "", *(f"{text}\n" for text in entry.what)]
    parts += ["```sh", entry.usage.removeprefix("Usage: "), *(f"{line}" for line in entry.examples), "```"]
    if rows := [*entry.arguments, *entry.options]:
        parts += ["", _options(rows)]
    return "\n".join(parts)


def _options(rows: list[Row]) -> str:
    lines = [f"| `{_cell(' '.join(name.split()))}` | {_cell(' '.join(what.split()))} |" for name, what in rows]
    return "\n".join(["| option | what |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def man_pages() -> dict[str, str]:
    """The man pages by file name: `derms.1`, and one for each word behind it."""
    found = entries()
    pages = {"derms.1": _root_page(found[0])}
    for name, _ in found[0].below:
        mine = [entry for entry in found if entry.words == f"derms {name}" or entry.words.startswith(f"derms {name} ")]
        pages[f"derms-{name}.1"] = _command_page(name, mine)
    return pages


def _root_page(root: Entry) -> str:
    lines = [
        *_title("derms", "keep a feeder within its power limit"),
        ".SH SYNOPSIS", ".B derms", "[OPTIONS] COMMAND [ARGS]...",
        ".SH DESCRIPTION", *(_roff(text) for text in root.what),
        ".SH COMMANDS",
    ]  # fmt: skip
    for name, what in root.below:
        lines += [".TP", f"\\fBderms\\-{_roff(name)}\\fR(1)", _roff(what)]
    lines += [".SH OPTIONS OF ALL COMMANDS THAT ASK A CONTROLLER", *_listed(shared())]
    for topic in topics().values():
        lines += _topic(topic)
    lines += [".SH EXAMPLES", *_example(root.examples)]
    return "\n".join(lines) + "\n"


def _command_page(name: str, mine: list[Entry]) -> str:
    first = mine[0]
    what = first.what[0] if first.what else name
    lines = [*_title(f"derms-{name}", what.rstrip(".")), ".SH SYNOPSIS"]
    for number, entry in enumerate(one for one in mine if not one.below):
        lines += [*([".br"] if number else []), _roff(entry.usage)]
    lines += [".SH DESCRIPTION"]
    for number, text in enumerate(first.what):
        lines += [*([".PP"] if number else []), _roff(text)]
    if not first.below:
        lines += [*_listed([*first.arguments, *first.options])]
    for entry in mine[1:]:
        lines += [f".SS {_roff(entry.words)}", *(_roff(text) for text in entry.what)]
        lines += [*_listed([*entry.arguments, *entry.options])]
    examples = [line for entry in mine if not entry.below for line in entry.examples]
    lines += [".SH EXAMPLES", *_example(examples or first.examples)]
    if any(entry.asks for entry in mine):
        also = " Those that only read take \\fB\\-\\-watch\\fR." if any(entry.watches for entry in mine) else ""
        lines += [".SH OPTIONS OF ALL COMMANDS THAT ASK A CONTROLLER", f"See \\fBderms\\fR(1).{also}"]
    lines += [".SH SEE ALSO", ".BR derms (1)"]
    return "\n".join(lines) + "\n"


def _title(name: str, what: str) -> list[str]:
    return [
        '.\\" Made by `make docs` of the commands themselves.',
        f'.TH {name.upper()} 1 "{_DATE}" "derms {__version__}" "derms"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(what[:1].lower() + what[1:])}",
    ]


def _listed(rows: list[Row]) -> list[str]:
    lines = []
    for name, what in rows:
        lines += [".TP", f"\\fB{_roff(' '.join(name.split()))}\\fR", _roff(" ".join(what.split())) or "\\ "]
    return lines


def _topic(topic: Topic) -> list[str]:
    lines = [f".SH {_roff(topic.title.upper())}"]
    for block in topic.text.split("\n\n")[1:]:
        if block.startswith("    "):
            lines += [".PP", *_example([line[4:] for line in block.splitlines()])]
        elif block.startswith("- "):
            for item in re.split(r"\n- |^- ", block)[1:]:
                lines += ['.IP "\\(bu" 2', _roff(_unmarked(" ".join(item.split())))]
        else:
            lines += [".PP", _roff(_unmarked(" ".join(block.split())))]
    return [line for at, line in enumerate(lines) if not (line == ".PP" and at == 1)]


def _example(rows: list[str]) -> list[str]:
    return [".nf", *(_roff(line) for line in rows), ".fi"]


def _unmarked(text: str) -> str:
    return text.replace("`", "")


def _roff(text: str) -> str:
    """Text as troff takes it literally."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("|", "\\(or")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def main() -> None:
    """Write all of it below the current directory."""
    Path("docs/cli.md").write_text(page(), encoding="utf-8")
    directory = Path("man/man1")
    directory.mkdir(parents=True, exist_ok=True)
    pages = man_pages()
    for path in directory.glob("*.1"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (directory / name).write_text(text, encoding="utf-8")
    sys.stderr.write(f"docs/cli.md and {len(pages)} man pages\n")


if __name__ == "__main__":
    main()
