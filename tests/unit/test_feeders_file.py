"""What a feeders file may say, and what becomes of what is there already."""

from pathlib import Path

import pytest

from derms.errors import ConfigError
from derms.feeders_file import Declared, merged, parents_first, read_feeders
from derms.model import Feeder, FeederMode, Policy

WHOLE = """
[[feeder]]
id = "garage"
parent = "main"
name = "Garage, level 2"
import_limit_kw = 60
export_limit_kw = 0.0
margin_kw = 2
assumed_unmetered_kw = -1.5
mode = "advise"

[[feeder]]
id = "main"
policy = "least_laxity"
import_limit_kw = inf
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "feeders.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_feeders(path)
    assert caught.value.why
    assert caught.value.next_step
    return str(caught.value)


def one(feeder_id: str, **said: object) -> Declared:
    return Declared(feeder_id=feeder_id, said=said)


def test_every_word_of_the_file_is_read(tmp_path: Path) -> None:
    garage, main = merged(read_feeders(written(tmp_path, WHOLE)), [])[::-1]
    assert garage == Feeder(
        feeder_id="garage",
        parent_id="main",
        name="Garage, level 2",
        import_limit_kw=60.0,
        export_limit_kw=0.0,
        margin_kw=2.0,
        assumed_unmetered_kw=-1.5,
        mode=FeederMode.ADVISE,
    )
    assert main == Feeder(feeder_id="main", policy=Policy.LEAST_LAXITY)


def test_what_the_file_says_counts_and_what_it_does_not_say_stays() -> None:
    stored = [
        Feeder(feeder_id="main", name="Main", import_limit_kw=250.0, mode=FeederMode.OFF),
        Feeder(feeder_id="other", import_limit_kw=10.0),
        Feeder(feeder_id="deep", parent_id="other"),
    ]
    declared = [one("main", import_limit_kw=None, margin_kw=1.0), one("deep", parent_id=None), one("new")]
    assert merged(declared, stored) == [
        Feeder(feeder_id="deep"),
        Feeder(feeder_id="main", name="Main", margin_kw=1.0, mode=FeederMode.OFF),
        Feeder(feeder_id="new"),
        Feeder(feeder_id="other", import_limit_kw=10.0),
    ]


def test_feeders_come_parents_first_and_by_id_among_those_of_one_depth() -> None:
    forest = [("d", "b"), ("b", "z"), ("a", "z"), ("z", None), ("y", None), ("c", "y")]
    feeders = [Feeder(feeder_id=own, parent_id=parent) for own, parent in forest]
    for order in (feeders, feeders[::-1]):
        assert [feeder.feeder_id for feeder in parents_first(order)] == ["y", "z", "a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "declares no feeder"),
        ("[feeder]\nid = 'a'\n", "declares no feeder; each stands under [[feeder]]"),
        ("feeder = [1]\n", "declares no feeder"),
        ("[[feeders]]\nid = 'a'\n", "feeders is set; there is no such key; did you mean feeder?"),
        ("[[feeder]]\nname = 'a'\n", "feeder 1 has no id"),
        ("[[feeder]]\nid = 'a'\nimport_limt_kw = 3\n", "feeder 1 (a): import_limt_kw is set; there is no such key; "
         "did you mean import_limit_kw?"),
        ("[[feeder]]\nid = 'a'\nxyzzy = 3\n", "xyzzy is set; there is no such key; there are id, name, parent, "),
        ("[[feeder]]\nid = 'a b'\n", "id is 'a b'; it must be a letter or digit"),
        ("[[feeder]]\nid = 7\n", "id is 7; it must be a letter or digit"),
        ("[[feeder]]\nid = 'a'\nparent = 'x/y'\n", "parent is 'x/y'; it must be a letter or digit"),
        ("[[feeder]]\nid = 'a'\nname = \"a\\u0007\"\n", "name is"),
        ("[[feeder]]\nid = 'a'\nimport_limit_kw = -1\n", "import_limit_kw is -1; it must be a number of kW, 0 or more"),
        ("[[feeder]]\nid = 'a'\nimport_limit_kw = nan\n", "import_limit_kw is nan; it must be a number of kW"),
        ("[[feeder]]\nid = 'a'\nexport_limit_kw = -inf\n", "export_limit_kw is -inf; it must be a number of kW"),
        ("[[feeder]]\nid = 'a'\nimport_limit_kw = true\n", "import_limit_kw is True; it must be a number of kW"),
        ("[[feeder]]\nid = 'a'\nimport_limit_kw = '5'\n", "import_limit_kw is '5'; it must be a number of kW"),
        ("[[feeder]]\nid = 'a'\nmargin_kw = inf\n", "margin_kw is inf; it must be a number of kW"),
        ("[[feeder]]\nid = 'a'\nmode = 'on'\n", "mode is 'on'; it must be one of auto, advise, off"),
        ("[[feeder]]\nid = 'a'\npolicy = ['fair']\n", "policy is ['fair']; it must be one of deficit, proportional"),
        ("[[feeder]]\nid = 'a'\n[[feeder]]\nid = 'b'\n[[feeder]]\nid = 'a'\n", "declares a more than once"),
        ("[[feeder]]\nid = 'a'\nparent = 'a'\n", "the feeders a -> a are each other's parents"),
        ("[[feeder]]\nid = 'x'\nparent = 'b'\n[[feeder]]\nid = 'b'\nparent = 'c'\n"
         "[[feeder]]\nid = 'c'\nparent = 'b'\n", "the feeders b -> c -> b are each other's parents"),
        ("[[feeder]\n", "is not TOML"),
        (b"\xff", "is not TOML"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_one_line(text: str | bytes, words: str, tmp_path: Path) -> None:
    message = refusal(written(tmp_path, text))
    assert words in message
    assert "\n" not in message


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    assert "cannot be read; No such file" in refusal(tmp_path / "nowhere.toml")
    assert "cannot be read; Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("declared", "stored", "words"),
    [
        ([one("a", parent_id="z")], [Feeder(feeder_id="b")], "the parent of feeder a is z; there is no such feeder; "
         "there are a, b"),
        ([one("a", parent_id="b")], [Feeder(feeder_id="a"), Feeder(feeder_id="b", parent_id="a")], "a -> b -> a"),
        ([], [Feeder(feeder_id="a", parent_id="b"), Feeder(feeder_id="b", parent_id="a")], "a -> b -> a"),
        ([one("a", margin_kw=5.0)], [Feeder(feeder_id="a", import_limit_kw=9.0, export_limit_kw=5.0)], "margin_kw of "
         "feeder a is 5; it must leave something of its limit, which is 5"),
        ([one("a", policy=Policy.FAIR)], [Feeder(feeder_id="r"), Feeder(feeder_id="a", parent_id="r")], "feeder a says "
         "a policy and has the parent r; a whole tree is under the policy of its root"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_beside_what_is_there_is_refused(
    declared: list[Declared], stored: list[Feeder], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        merged(declared, stored)
    assert words in str(caught.value)
    assert caught.value.next_step


def test_a_feeder_that_takes_nothing_may_keep_a_margin() -> None:
    closed = merged([one("a", import_limit_kw=0.0, margin_kw=1.0)], [])
    assert closed == [Feeder(feeder_id="a", import_limit_kw=0.0, margin_kw=1.0)]
