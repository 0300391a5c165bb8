"""The words that go out with a setpoint, and those for powers and whiles."""

from dataclasses import replace

import numpy as np
import pytest

from derms.columns import BATTERY, EV, PV, Decision, Memory, Picture, Reason
from derms.contract.fields import MAX_TEXT, check_text
from derms.control.decide import decide
from derms.control.limits import RECOVERY
from derms.control.words import allowed_text, kw_text, load_text, reason_text, wait_text
from tests.unit.control.fleets import PARAMS, Row, columns, feeder


def decided(reason: Reason, *, node: int = 0, source: str = "static") -> Decision:
    picture = Picture(dt_s=2.0, nodes=feeder(10.0), constraints=(), devices=columns([Row()]))
    decision, _ = decide(picture, Memory.empty(1), PARAMS)
    return replace(
        decision,
        reason=np.array([reason]),
        reason_node=np.array([node]),
        nodes=replace(decision.nodes, import_source=(source,), export_source=(source,)),
    )


@pytest.mark.parametrize(
    ("reason", "source", "words"),
    [
        (Reason.NONE, "static", "all it can take"),
        (Reason.IMPORT_LIMIT, "static", "feeder-1 import limit"),
        (Reason.IMPORT_LIMIT, "ev-42", "feeder-1 import limit of ev-42"),
        (Reason.IMPORT_LIMIT, RECOVERY, "feeder-1 import limit, rising after an event"),
        (Reason.MINIMUM_POWER, "static", "waiting for its turn: feeder-1 import limit"),
        (Reason.RELIEF, "ev-42", "relief: feeder-1 import limit of ev-42"),
        (Reason.EXPORT_LIMIT, "static", "feeder-1 export limit"),
        (Reason.ABSORB, "static", "charges to keep feeder-1 export limit"),
    ],
)
def test_a_setpoint_goes_out_with_what_bound_it_and_who_set_that(reason: Reason, source: str, words: str) -> None:
    assert reason_text(decided(reason, source=source), 0, ["feeder-1"]) == words


@pytest.mark.parametrize("reason", list(Reason))
def test_no_reason_is_so_long_that_a_device_would_refuse_the_setpoint(reason: Reason) -> None:
    text = reason_text(decided(reason, source="e" * 200), 0, ["n" * 200])
    assert check_text("reason", text) == text
    assert 0 < len(text) <= MAX_TEXT


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words_also_where_no_node_is_named(reason: Reason) -> None:
    assert reason_text(decided(reason, node=-1), 0, ["feeder-1"])


def test_powers_come_with_a_direction_and_never_with_a_bare_minus() -> None:
    assert [load_text(kw) for kw in (12.34, -4.06, 0.0, -0.0, 0.35)] == [
        "import 12.3 kW", "export 4.1 kW", "0 kW", "0 kW", "import 0.35 kW",
    ]  # fmt: skip
    assert [allowed_text(kw, EV) for kw in (7.4, 0.0, -0.0)] == [
        "charging at most 7.4 kW",
        "no charging",
        "no charging",
    ]
    assert allowed_text(-3.0, BATTERY) == "discharging at least 3.0 kW"
    assert [allowed_text(kw, PV) for kw in (-4.0, 0.0)] == ["generating at most 4.0 kW", "no generation"]


def test_what_is_not_a_figure_is_said_in_words() -> None:
    assert [kw_text(kw) for kw in (float("nan"), float("inf"))] == ["unknown", "no limit"]
    assert load_text(float("nan")) == "unknown"
    assert wait_text(float("inf")) == "an unknown time"


def test_whiles_are_said_in_the_unit_that_fits() -> None:
    assert [wait_text(seconds) for seconds in (0.4, 40.0, 720.0, 9000.0)] == ["0 s", "40 s", "12 min", "2.5 h"]
