"""The parts of a page that a benchmark writes, each between two comments; everything else on it stays as it is. Pure.

::

    <!-- begin energy -->
    ...
    <!-- end energy -->
"""

import re

from derms.bench.figures import markdown_of
from derms.bench.report import Report
from derms.errors import UsageError

MACHINE = "machine"


def written(page: str, report: Report) -> str:
    """Put a report into its places on a page.

    Args:
        page: The page as it is.
        report: What was found; what it does not have stays as it was.

    Raises:
        UsageError: The page has no place for a part of it.
    """
    rows = "\n".join(f"| {name} | {value} |" for name, value in report.machine)
    page = _put(page, MACHINE, f"| | |\n| --- | --- |\n{rows}")
    for section in report.sections:
        page = _put(page, section.key, markdown_of(section))
    return page


def _put(page: str, key: str, text: str) -> str:
    place = re.compile(rf"(<!-- begin {re.escape(key)} -->\n).*?(<!-- end {re.escape(key)} -->)", re.DOTALL)
    if not place.search(page):
        raise UsageError(
            f"the page has no place for {key!r}",
            why=f"it goes between <!-- begin {key} --> and <!-- end {key} -->",
            next_step="put these two lines into the page",
        )
    return place.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)
