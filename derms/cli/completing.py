"""Completion in bash, zsh and fish: the scripts, and the answer to what could come next.

A script asks `derms __complete -- WORDS`, the last of them unfinished, and gets a line for each that fits: the word, a
tab, what it means. One line of `:files` asks the shell for file names instead.
"""

import sys
from collections.abc import Iterator, Sequence

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from derms.cli.names import kind_of

ASKS = "__complete"
_FILES = ":files"

SCRIPTS = {
    "bash": """\
# derms completion for bash:  source <(derms completion bash)
_derms_complete() {
    local IFS=$'\\n' words
    mapfile -t words < <(derms __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ ${words[0]} == :files ]]; then
        compopt -o default
        COMPREPLY=()
    else
        COMPREPLY=("${words[@]%%$'\\t'*}")
    fi
}
complete -F _derms_complete derms
""",
    "zsh": """\
#compdef derms
# derms completion for zsh:  source <(derms completion zsh), after compinit
_derms() {
    local -a lines shown
    local line
    lines=("${(@f)$(derms __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ $lines[1] == :files ]] && { _files; return }
    for line in $lines; do
        shown+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    _describe -V derms shown
}
compdef _derms derms
""",
    "fish": """\
# derms completion for fish:  derms completion fish | source
function __derms_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines (derms __complete -- $words[2..-1] 2>/dev/null)
    if test "$lines[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $lines
    end
end
complete -c derms -f -a '(__derms_complete)'
""",
}


def answer(root: TyperGroup, words: Sequence[str]) -> None:
    """Write what could come next.

    Args:
        root: The command line.
        words: Behind `derms`; the last one is unfinished.
    """
    asked = list(words) or [""]
    words = _joined(asked)
    # What bash took apart it puts together again; other shells want the whole word.
    sign = words[-1].find("=") if words[-1].startswith("--") and words[-1] == asked[-1] else -1
    lead = words[-1][: sign + 1]
    lines = [f"{word}\t{meaning}" if meaning else word for word, meaning in _next(root, words[:-1], words[-1])]
    lines = [line if line == _FILES else lead + line for line in lines]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _joined(words: list[str]) -> list[str]:
    """Bash takes `--output=js` apart at the sign."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].startswith("--") and word == "=":
            joined[-1] += "="
        elif joined and joined[-1].startswith("--") and joined[-1].endswith("="):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _next(root: TyperGroup, before: list[str], incomplete: str) -> Iterator[tuple[str, str]]:
    command: TyperCommand | TyperGroup = root
    context = typer.Context(root, info_name="derms", resilient_parsing=True)
    rest = list(before)
    while rest and isinstance(command, TyperGroup):
        name = rest.pop(0)
        if name.startswith("-"):
            continue
        found = command.get_command(context, name)
        if not isinstance(found, TyperCommand | TyperGroup):
            return
        command = found
        context = typer.Context(command, parent=context, info_name=name, resilient_parsing=True)
    if isinstance(command, TyperGroup):
        yield from _commands(command, context, incomplete)
    if isinstance(command, TyperGroup) and not incomplete.startswith("-"):
        return
    yield from _parameters(command, context, rest, before, incomplete)


def _commands(group: TyperGroup, context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    known = getattr(group, "words", {})
    for name in group.list_commands(context):
        if name.startswith(incomplete) and not name.startswith("_"):
            if name in known:
                yield name, known[name].what
            elif (command := group.get_command(context, name)) is not None:
                yield name, command.get_short_help_str(60)


def _parameters(
    command: TyperCommand | TyperGroup, context: typer.Context, before: list[str], words: list[str], incomplete: str
) -> Iterator[tuple[str, str]]:
    options = {name: each for each in command.params if isinstance(each, TyperOption) for name in each.opts}
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    name, sign, begun = incomplete.partition("=")
    if sign and name in options:
        yield from _values(options[name], context, words, begun)
        return
    given, waiting, places = set(), None, 0
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-") and len(word) > 1:
            option = options.get(word.partition("=")[0])
            if option is not None:
                given.add(option.name)
                waiting = option if _takes_value(option) and "=" not in word else None
        else:
            places += 1
    if waiting is not None:
        yield from _values(waiting, context, words, incomplete)
    elif incomplete.startswith("-"):
        for name, option in options.items():
            if name.startswith(incomplete) and (option.multiple or option.name not in given) and not option.hidden:
                yield name, (option.help or "").split("\n")[0]
        if "--help".startswith(incomplete):
            yield "--help", "Show this message and exit."
    elif arguments:
        at = min(places, len(arguments) - 1)
        if places < len(arguments) or arguments[at].nargs == -1:
            yield from _values(arguments[at], context, words, incomplete)


def _takes_value(option: TyperOption) -> bool:
    return not option.is_flag and not option.count and option.name != "watch"


def _values(
    parameter: TyperOption | TyperArgument, context: typer.Context, words: list[str], incomplete: str
) -> Iterator[tuple[str, str]]:
    if (kind := kind_of(parameter.type_descriptor.parameter_info)) is not None:
        from derms.cli.known_names import names

        yield from ((name, "") for name in names(kind, words) if name.startswith(incomplete))
        return
    found = parameter.shell_complete(context, incomplete)
    for item in found:
        if item.type in ("file", "dir"):
            yield _FILES, ""
            return
        yield item.value, item.help or ""
    if not found and (parameter.type_descriptor.is_path or parameter.type_descriptor.is_file):
        yield _FILES, ""
