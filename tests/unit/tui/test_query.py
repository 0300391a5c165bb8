import pytest

from derms.errors import UsageError
from derms.tui import query
from derms.tui.fleet import Fleet
from tests.fakes_tui import NOW, device_row

NOW_S = NOW.timestamp()


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.replace([device_row(number) for number in range(120)])
    return fleet


def found(fleet: Fleet, text: str) -> list[str]:
    kept = query.keep(query.parse(text), fleet, now_s=NOW_S, below=lambda feeder_id: [f"{feeder_id}-child"])
    return [device_id for device_id, keep in zip(fleet.ids, kept, strict=True) if keep]


def expected(fleet: Fleet, holds: str) -> list[str]:
    """The ids of the rows for which a plain Python expression holds."""
    names = {"abs": abs, "min": min}
    return [row["device_id"] for row in fleet.rows if eval(holds, names, {"r": row})]


CASES = (
    ("", "True"),
    ("type:ev", "r['type'] == 'ev'"),
    ("type:ev,pv", "r['type'] in ('ev', 'pv')"),
    ("type:bat", "r['type'] == 'battery'"),
    ("-type:ev", "r['type'] != 'ev'"),
    ("!type:ev", "r['type'] != 'ev'"),
    ("soc<0.3", "r['soc'] is not None and r['soc'] < 0.3"),
    ("soc<30%", "r['soc'] is not None and r['soc'] < 0.3"),
    ("soc>=0.5 type:battery", "r['soc'] is not None and r['soc'] >= 0.5 and r['type'] == 'battery'"),
    ("origin:pi", "r['origin'] == 'physical'"),
    ("origin:sim", "r['origin'] == 'simulated'"),
    ("house-003", "r['site_id'] == 'house-003'"),
    ("EV-00", "r['device_id'].startswith('ev-00')"),
    ('"house-00"', "'house-00' in r['site_id']"),
    ("site:house-01", "'house-01' in r['site_id']"),
    ("id:0007", "'0007' in r['device_id']"),
    ("priority>=8", "r['priority'] >= 8"),
    ("actual>2.5kW", "r['p_actual_kw'] > 2.5"),
    ("actual<-1500w", "r['p_actual_kw'] < -1.5"),
    ("error>0.5", "r['p_setpoint_kw'] is not None and abs(r['p_actual_kw'] - r['p_setpoint_kw']) > 0.5"),
    ("is:stale", "r['freshness'] == 'stale' and r['status'] == 'ok'"),
    ("is:late", "r['freshness'] in ('stale', 'lost') and r['status'] == 'ok'"),
    ("is:fault", "r['status'] == 'fault'"),
    ("age>1m", "r['freshness'] == 'lost'"),
    ("lease<60s", "r['lease'] is not None"),
    ("lease<10s", "False"),
    ("feeder:feeder-1", "True"),
    ("feeder:other", "False"),
    ("type:ev soc<0.3 origin:pi", "r['type'] == 'ev' and r['soc'] < 0.3 and r['origin'] == 'physical'"),
)


@pytest.mark.parametrize(("text", "holds"), CASES)
def test_a_filter_keeps_what_its_words_say(fleet: Fleet, text: str, holds: str) -> None:
    assert found(fleet, text) == expected(fleet, holds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soc<", "unfinished"),
        ("soc<much", "'much' is no number"),
        ("colour:red", "there is no 'colour'"),
        ("type:tree", "type:tree is none"),
        ("type:", "type: what?"),
        ("age>", "age> what?"),
        ("age>soon", "'soon' is no duration"),
        ("soc<nan", "no number"),
    ],
)
def test_a_filter_that_cannot_be_meant_says_why(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        query.parse(text)


def test_a_feeder_means_those_below_it_too(fleet: Fleet) -> None:
    fleet.replace([device_row(1, feeder_id="north"), device_row(2, feeder_id="north-child"), device_row(3)])
    assert len(found(fleet, "feeder:NORTH")) == 2


def test_a_device_that_tells_no_soc_is_neither_below_nor_above(fleet: Fleet) -> None:
    silent = {row["device_id"] for row in fleet.rows if row["soc"] is None}
    assert silent
    for text in ("soc<2", "soc>=0", "soc!=0.5"):
        assert not silent & set(found(fleet, text))
