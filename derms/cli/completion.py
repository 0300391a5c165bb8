"""`derms completion`."""

from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """What can be completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    r"""Print what makes a shell complete derms: commands, options, and the ids of devices, feeders and events.

    Names are asked of the controller that is meant, for 0.3 s at most, and kept for when it does not answer.

    \b
    Examples:
      source <(derms completion bash)                        in ~/.bashrc
      source <(derms completion zsh)                         in ~/.zshrc, after compinit
      derms completion fish > ~/.config/fish/completions/derms.fish
    """
    from derms.cli.completing import SCRIPTS

    typer.echo(SCRIPTS[shell.value], nl=False)
