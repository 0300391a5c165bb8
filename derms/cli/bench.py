"""`derms bench`: measure the engine, on seeded plants and recorded sessions."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure the engine.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bench() -> None:
    """Measure the engine."""


@app.command("api")
def api(
    quick: Annotated[bool, typer.Option("--quick", help="A minute's run: fewer requests.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
) -> None:
    """Measure the API: a real controller with 1,000 and with 10,000 devices that speak, and 200 readers of its stream.

    Results go to stdout, what is being done to stderr.
    """
    import json

    from derms.bench.api import api as measure
    from derms.bench.effort import FULL, QUICK
    from derms.bench.figures import lines_of
    from derms.bench.page import written
    from derms.bench.report import Report, machine

    section = measure(QUICK if quick else FULL, lambda doing: typer.echo(f"  {doing} ...", err=True))
    report = Report(machine=machine(), sections=(section,))
    typer.echo("\n".join(lines_of(section)))
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    if page is not None:
        page.write_text(written(page.read_text(encoding="utf-8"), report), encoding="utf-8")


@app.command("tui")
def tui(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer pictures.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
) -> None:
    """Measure the control center: frames, bytes to the terminal, memory, with 1,000 to 100,000 devices.

    Results go to stdout, what is being done to stderr.
    """
    import json

    from derms.bench.effort import FULL, QUICK
    from derms.bench.figures import lines_of
    from derms.bench.page import written
    from derms.bench.report import Report, machine
    from derms.bench.tui import tui as measure

    section = measure(QUICK if quick else FULL, lambda doing: typer.echo(f"  {doing} ...", err=True))
    report = Report(machine=machine(), sections=(section,))
    typer.echo("\n".join(lines_of(section)))
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    if page is not None:
        page.write_text(written(page.read_text(encoding="utf-8"), report), encoding="utf-8")


@app.command("control")
def control(
    quick: Annotated[bool, typer.Option("--quick", help="A minute's run: fewer weeks, seeds and devices.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Which section; may be given several times.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw the plots into this directory, as SVG.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a target is missed.")] = False,
) -> int:
    """Measure how good control is: energy, fairness, a limit held second by second, demand response, cost.

    Sections: energy, sessions, fairness, real, starvation, seconds, dr, silence, cost. Results go to stdout, what is
    being done to stderr. Needs the extra `bench`: pip install 'derms[bench]'.
    """
    import json

    from derms.errors import UnavailableError, UsageError

    try:
        from derms.bench.control import SECTIONS, measure
        from derms.bench.effort import FULL, QUICK
        from derms.bench.figures import Section, lines_of
        from derms.bench.page import written
        from derms.bench.plots import draw
    except ImportError as error:
        if error.name != "highspy":
            raise
        raise UnavailableError(
            "the solver HiGHS is not installed",
            why="the best possible plan is a linear program",
            next_step="pip install 'derms[bench]'",
        ) from error
    unknown = [key for key in only or [] if key not in SECTIONS]
    if unknown:
        raise UsageError(f"there is no section {unknown[0]!r}", next_step=f"one of {', '.join(SECTIONS)}")
    effort = QUICK if quick else FULL

    def say(doing: str) -> None:
        typer.echo(f"  {doing} ...", err=True)

    def done(section: Section) -> None:
        typer.echo("\n".join([*lines_of(section), ""]))

    report = measure(effort, only or [], say, done)
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    if page is not None:
        page.write_text(written(page.read_text(encoding="utf-8"), report), encoding="utf-8")
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
        for name, picture in draw(say):
            (plots / f"{name}.svg").write_text(picture, encoding="utf-8")
    missed = report.missed
    typer.echo(f"{len(missed)} of {sum(len(section.figures) for section in report.sections)} figures miss a target")
    return 1 if strict and missed else 0
