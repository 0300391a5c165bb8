"""`derms bench`: measure the engine, on seeded plants and recorded sessions."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derms.cli.nouns import Noun

if TYPE_CHECKING:
    from derms.bench.effort import Effort
    from derms.bench.figures import Section

app = Noun(
    "Measure the engine, the loop, memory, the API, the intake, the store, the command line and the control center.",
    "derms bench api --quick",
    "derms bench control --quick",
)


@app.command("api")
def api(
    quick: Annotated[bool, typer.Option("--quick", help="A minute's run: fewer requests.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
) -> None:
    r"""Measure the API: a real controller with 1,000 and with 10,000 devices that speak, and 200 readers of its stream.

    Results go to stdout, what is being done to stderr.

    \b
    Examples:
      derms bench api --quick
      derms bench api --json figures.json
    """
    from derms.bench.api import api as measure

    _one_section(measure, quick, json_file, page)


@app.command("ingest")
def ingest(
    quick: Annotated[bool, typer.Option("--quick", help="Ten seconds a rate.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
) -> None:
    r"""Measure how much telemetry a controller takes in: rising rates through Mosquitto into PostgreSQL, none lost.

    Generator, broker, database and controller share the machine. Results go to stdout, what is being done to stderr.

    \b
    Examples:
      derms bench ingest --quick
      derms bench ingest --json figures.json
    """
    from derms.bench.ingest import ingest as measure

    _one_section(measure, quick, json_file, page)


@app.command("cli")
def cli(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
) -> None:
    r"""Measure the command line: how long it takes to start, and to list 1,000 devices of a real controller.

    Results go to stdout, what is being done to stderr.

    \b
    Examples:
      derms bench cli --quick
      derms bench cli --page docs/benchmarks.md
    """
    from derms.bench.cli import cli as measure

    _one_section(measure, quick, json_file, page)


@app.command("tui")
def tui(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer pictures.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
) -> None:
    r"""Measure the control center: frames, bytes to the terminal, memory, with 1,000 to 100,000 devices.

    Results go to stdout, what is being done to stderr.

    \b
    Examples:
      derms bench tui --quick
      derms bench tui --page docs/benchmarks.md
    """
    from derms.bench.tui import tui as measure

    _one_section(measure, quick, json_file, page)


@app.command("store")
def store(
    quick: Annotated[bool, typer.Option("--quick", help="A minute's run: fewer samples.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
) -> None:
    r"""Measure the store: bytes a sample, rows a second written and packed, a day and a year asked for.

    Results go to stdout, what is being done to stderr.

    \b
    Examples:
      derms bench store --quick
      derms bench store --page docs/benchmarks.md
    """
    from derms.bench.store import store as measure

    _one_section(measure, quick, json_file, page)


@app.command("loop")
def loop(
    quick: Annotated[
        bool, typer.Option("--quick", help="About five minutes: fewer ticks, events and breaches.")
    ] = False,
    devices: Annotated[
        list[int] | None, typer.Option(help="Only this fleet: 1000, 10000 or 100000; may be given several times.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a target is missed.")] = False,
) -> int:
    r"""Measure the controller from end to end: ticks, leases and events on the wire, a breach answered, a start.

    A real `derms serve`, a Mosquitto and up to 100,000 devices share the machine. Results go to stdout, what is being
    done to stderr.

    \b
    Examples:
      derms bench loop --quick
      derms bench loop --devices 10000 --page docs/benchmarks.md
    """
    from functools import partial

    from derms.bench.loop import loop as measure

    return _one_section(partial(measure, devices=devices or ()), quick, json_file, page, strict=strict)


@app.command("memory")
def memory(
    quick: Annotated[bool, typer.Option("--quick", help="A minute instead of ten.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0.2, help="For how long; 30 shows whether it ends.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a target is missed.")] = False,
) -> int:
    r"""Measure what the controller holds in memory with 100,000 devices that report, and whether it grows.

    Results go to stdout, what is being done to stderr.

    \b
    Examples:
      derms bench memory --quick
      derms bench memory --minutes 30 --page docs/benchmarks.md
    """
    from functools import partial

    from derms.bench.memory import memory as measure

    return _one_section(partial(measure, minutes=minutes), quick, json_file, page, strict=strict)


@app.command("control")
def control(
    quick: Annotated[bool, typer.Option("--quick", help="A minute's run: fewer weeks, seeds and devices.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Which section; may be given several times.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw the plots into this directory, as SVG.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write figures and tables into this page, in their places.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a target is missed.")] = False,
) -> int:
    r"""Measure how good control is: energy, fairness, a limit held second by second, demand response, cost.

    Sections: energy, sessions, fairness, real, starvation, seconds, dr, silence, cost. Results go to stdout, what is
    being done to stderr. Needs the extra `bench`: pip install 'derms[bench]'.

    \b
    Examples:
      derms bench control --quick
      derms bench control --only energy --only seconds --strict
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


def _one_section(
    measure: "Callable[[Effort, Callable[[str], None]], Section]",
    quick: bool,
    json_file: Path | None,
    page: Path | None,
    *,
    strict: bool = False,
) -> int:
    import json

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
    return 1 if strict and report.missed else 0
