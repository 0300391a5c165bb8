"""What is known of the shared options before any command is loaded."""

import inspect
from typing import get_args

from derms.cli.shared import Shared


def takes_value(option: str) -> bool | None:
    """Whether a shared option takes a value; None: it is no shared option."""
    for each in inspect.signature(Shared, eval_str=True).parameters.values():
        kind, said = get_args(each.annotation)
        # In an annotation the first name stands where the default would.
        if option in (said.default, *said.param_decls):
            return kind is not bool and not said.count
    return None
