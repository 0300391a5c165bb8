"""Lines that are wrong: what is said of them, and that they change nothing."""

import json
from typing import Any

import pytest

from derms.cosim.run import Conversation
from tests.unit.cosim.driver import answers, ev

OPEN = {"nodes": {"feeder": {"import_limit_kw": 10}}, "devices": {"a": ev(), "b": ev()}}
FIRST = {"now": 0, "devices": {"a": {"p_actual_kw": 1}, "b": {"p_actual_kw": 1}}}


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("nonsense", "malformed", "nonsense"),
        ("[1]", "malformed", "object"),
        ('{"now": 1, "now": 2}', "malformed", "twice"),
        ('{"now": NaN}', "malformed", "NaN"),
        ('{"now": 1e999}', "malformed", "double"),
        ('{"now": 300, "devices": {"a": {"p_actul_kw": 1}}}', "unknown-field", "p_actual_kw"),
        ('{"now": 300, "nodes": {"feeder": {"limit_kw": 1}}}', "unknown-field", "import_limit_kw"),
        ('{"now": 300, "policy": "fair"}', "unknown-field", "first line"),
        ('{"now": 300, "node": {}}', "unknown-field", "nodes"),
        ('{"now": 300, "nodes": {"feeder": {"parent": "x"}}}', "unknown-field", "parent"),
        ('{"now": 300, "devices": {"a": {"override": {"kind": "block", "untill": 3}}}}', "unknown-field", "until"),
        ('{"devices": {}}', "missing-field", "now"),
        ('{"now": null}', "missing-field", "now"),
        ('{"now": 300, "devices": {"c": {"type": "ev"}}}', "missing-field", "p_max_kw"),
        ('{"now": 300, "devices": {"c": {"type": "pv", "p_import_max_kw": 3}}}', "missing-field", "rating"),
        ('{"now": 300, "events": [{"id": "e", "end": 900}]}', "missing-field", "shed_kw"),
        ('{"now": 300, "events": [{"end": 900, "shed_kw": 1}]}', "missing-field", "`id`"),
        ('{"now": true}', "bad-value", "now"),
        ('{"now": 1780000000000}', "bad-value", "milliseconds"),
        ('{"now": "yesterday"}', "bad-value", "2026-05-13T06:17:00Z"),
        ('{"now": 300, "devices": []}', "bad-value", "object"),
        ('{"now": 300, "devices": {"a": 3}}', "bad-value", "device a"),
        ('{"now": 300, "devices": {"": {}}}', "bad-value", "1 to 128"),
        ('{"now": 300, "devices": {"a": {"p_actual_kw": "1"}}}', "bad-value", "kW"),
        ('{"now": 300, "devices": {"a": {"p_actual_kw": true}}}', "bad-value", "p_actual_kw"),
        ('{"now": 300, "devices": {"a": {"p_actual_kw": 1e9}}}', "bad-value", "1000000"),
        ('{"now": 300, "devices": {"a": {"soc": 55}}}', "bad-value", "0.55"),
        ('{"now": 300, "devices": {"a": {"soc": -0.1}}}', "bad-value", "soc"),
        ('{"now": 300, "devices": {"a": {"status": "fine"}}}', "bad-value", "unavailable"),
        ('{"now": 300, "devices": {"a": {"priority": 11}}}', "bad-value", "priority"),
        ('{"now": 300, "devices": {"a": {"priority": 2.5}}}', "bad-value", "whole"),
        ('{"now": 300, "devices": {"a": {"capacity_kwh": 0}}}', "bad-value", "capacity_kwh"),
        ('{"now": 300, "devices": {"a": {"p_min_kw": 1, "min_power_kw": 1}}}', "bad-value", "min_power_kw"),
        ('{"now": 300, "devices": {"a": {"p_step_kw": 1e-7}}}', "bad-value", "0.001"),
        ('{"now": 300, "devices": {"a": {"type": "battery"}}}', "bad-value", "gone"),
        ('{"now": 300, "devices": {"m": {"type": "meter"}}}', "bad-value", "metered_kw"),
        ('{"now": 300, "devices": {"a": {"override": {"kind": "hold"}}}}', "bad-value", "power"),
        ('{"now": 300, "devices": {"a": {"ready_by": "noon"}}}', "bad-value", "ready_by"),
        ('{"now": 300, "nodes": {"feeder": {"import_limit_kw": -1}}}', "bad-value", "import_limit_kw"),
        ('{"now": 300, "nodes": {"feeder": {"mode": "manual"}}}', "bad-value", "advise"),
        ('{"now": 300, "gone": "a"}', "bad-value", "list"),
        ('{"now": 300, "programs": [{"id": "p", "kind": "free", "end": 9}]}', "bad-value", "fixed_cap"),
        ('{"now": 0}', "bad-time", "forward"),
        ('{"now": -300}', "bad-time", "forward"),
        ('{"now": 300, "devices": {"a": {"p_actual_kw": 1, "at": 301}}}', "bad-time", "1 s after"),
        ('{"now": 300, "nodes": {"feeder": {"metered_kw": 1, "metered_at": 301}}}', "bad-time", "metered_at"),
        ('{"now": 300, "nodes": {"feder": {}}}', "unknown-node", "feeder"),
        ('{"now": 300, "devices": {"a": {"node": "x"}}}', "unknown-node", "feeder"),
        ('{"now": 300, "events": [{"id": "e", "nodes": ["x"], "end": 900, "shed_kw": 1}]}', "unknown-node", "feeder"),
        ('{"now": 300, "devices": {"c": {"p_actual_kw": 1}}}', "unknown-device", "type"),
        ('{"now": 300, "gone": ["c"]}', "unknown-device", "'c'"),
    ],
)
def test_a_wrong_line_is_named_and_changes_nothing(line: str, code: str, said: str) -> None:
    then = {"now": 300, "devices": {"a": {"p_actual_kw": 4}}}
    *_, wrong, after = answers(OPEN, FIRST, line, then)
    assert wrong["error"]["code"] == code
    assert said in wrong["error"]["message"]
    assert wrong["error"]["line"] == 3
    assert after == answers(OPEN, FIRST, then)[-1]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ({"now": 0}, "missing-field", "first line"),
        ({}, "missing-field", "nodes"),
        ({"nodes": {}}, "missing-field", "nodes"),
        ({**OPEN, "polcy": "fair"}, "unknown-field", "policy"),
        ({**OPEN, "policy": "fairest"}, "bad-value", "least_laxity"),
        ({**OPEN, "parameters": {"leases": 30}}, "unknown-field", "lease_s"),
        ({**OPEN, "parameters": {"lease_s": 0}}, "bad-value", "above 0"),
        ({**OPEN, "parameters": {"lease_s": True}}, "bad-value", "lease_s"),
        ({**OPEN, "parameters": {"lockstep": 1}}, "bad-value", "lockstep"),
        ({"nodes": {"a": {"parent": "b"}, "b": {"parent": "a"}, "r": {}}}, "cycle", "a, b"),
        ({"nodes": {"a": {"parent": "a"}}}, "cycle", "a"),
        ({"nodes": {"a": {"parent": "b"}}}, "unknown-node", "'b'"),
        ({"nodes": {"a": {}, "b": {}}, "devices": {"x": ev()}}, "missing-field", "node"),
        ({"nodes": {"a": {"metered_kw": 3, "metered_at": 0}}}, "bad-time", "first tick"),
        ({"nodes": {"a": {}}, "devices": {"x": ev(at=3)}}, "bad-time", "first tick"),
        ({"nodes": {"a": {}}, "devices": {"x": ev(ready_by="soon")}}, "bad-value", "ready_by"),
    ],
)
def test_a_wrong_first_line_is_named_and_another_first_line_is_waited_for(
    line: dict[str, Any], code: str, said: str
) -> None:
    wrong, ready = answers(line, OPEN)
    assert wrong["error"]["code"] == code
    assert said in wrong["error"]["message"]
    assert ready["ready"] is True


def test_a_fault_of_the_engine_is_an_error_line_and_the_session_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = Conversation()
    conversation.answer(json.dumps(OPEN).encode(), 1)
    with monkeypatch.context() as broken:
        broken.setattr("derms.cosim.session.decide", lambda *_: 1 / 0)
        assert conversation.answer(b'{"now": 0}', 2)["error"]["code"] == "internal"
    assert "Line 2 failed" in caplog.text
    assert conversation.answer(b'{"now": 1}', 3)["now"] == 1
