"""Lines in, lines out, until the end of input. Nothing but answers is written there, one for every line."""

import logging
from typing import Any, BinaryIO

from derms.cosim.answer import error_answer
from derms.cosim.lines import parse, read_lines, written
from derms.cosim.reading import as_opening, as_tick
from derms.cosim.session import Session, open_session
from derms.cosim.wrong import Code, WrongLine

log = logging.getLogger(__name__)


def run(said: BinaryIO, answers: BinaryIO) -> None:
    """Answer every line until there are no more.

    Args:
        said: The driver's lines.
        answers: Where the answers go, each flushed at once.
    """
    conversation = Conversation()
    for number, line in read_lines(said):
        answers.write(written(conversation.answer(line, number)))
        answers.flush()


class Conversation:
    """A session from its first line on; a line that is wrong is answered and changes nothing."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def answer(self, line: bytes, number: int) -> dict[str, Any]:
        """Answer one line.

        Args:
            line: Its bytes.
            number: Its number, from 1.
        """
        try:
            tree = parse(line)
            if self._session is not None:
                return self._session.tick(as_tick(tree))
            session = open_session(as_opening(tree))
            self._session = session
            return session.greeting()
        except WrongLine as wrong:
            return error_answer(wrong, number)
        except Exception:
            # A failure boundary (`docs/architecture.md`): a fault of ours in one line must not end a long run.
            log.exception("Line %d failed", number, extra={"line": number})
            fault = WrongLine(
                Code.INTERNAL,
                "the engine met an error of its own",
                why="what the line said may have been noted, but nothing was decided",
                next_step="read the log on stderr, and report it",
            )
            return error_answer(fault, number)
