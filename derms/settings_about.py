"""What each setting is, in the words below its field. Read when somebody asks: a start need not read its own source."""

import ast
import inspect
import textwrap


def about(settings_class: type) -> dict[str, str]:
    """The docstring below each field of a class, on one line, by the field's name."""
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(settings_class))).body
    assert isinstance(made, ast.ClassDef)
    told: dict[str, str] = {}
    for field, below in zip(made.body, made.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                told[name] = " ".join(text.split())
    return told
