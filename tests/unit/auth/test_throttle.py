"""How often a password may be tried."""

import pytest

from derms.auth.throttle import FREE_ADDRESS, FREE_PAIR, FREE_USER, Throttle, network_of
from derms.errors import ThrottledError
from tests.fakes_api import FakeClock


def fail(throttle: Throttle, username: str, remote: str, times: int = 1) -> None:
    for _ in range(times):
        throttle.begin(username, remote)


def wait_s(throttle: Throttle, username: str, remote: str) -> float:
    """How long this one is told to wait; 0: not at all, and the try is not counted."""
    try:
        throttle.begin(username, remote).unmade()
    except ThrottledError as error:
        return error.retry_after_s
    return 0.0


def test_five_failures_are_free_and_then_each_doubles_the_wait() -> None:
    clock = FakeClock()
    throttle = Throttle(clock)
    fail(throttle, "ann", "1.1.1.1", FREE_PAIR)
    waits = []
    for _ in range(13):
        waits.append(wait_s(throttle, "ann", "1.1.1.1"))
        clock.now += round(waits[-1] * 1000)
        fail(throttle, "ann", "1.1.1.1")
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_what_is_refused_is_not_counted_and_does_not_lengthen_the_wait() -> None:
    clock = FakeClock()
    throttle = Throttle(clock)
    fail(throttle, "ann", "1.1.1.1", FREE_PAIR)
    for _ in range(100):
        with pytest.raises(ThrottledError):
            throttle.begin("ann", "1.1.1.1")
    clock.now += 1000
    assert wait_s(throttle, "ann", "1.1.1.1") == 0


def test_many_tries_at_once_gain_nothing() -> None:
    throttle = Throttle(FakeClock())
    attempts = [throttle.begin("ann", "1.1.1.1") for _ in range(FREE_PAIR)]
    with pytest.raises(ThrottledError):
        throttle.begin("ann", "1.1.1.1")
    attempts[0].succeeded()
    assert wait_s(throttle, "ann", "1.1.1.1") == 0


def test_a_success_forgives_the_user_at_that_address_but_not_the_address() -> None:
    throttle = Throttle(FakeClock())
    for number in range(FREE_ADDRESS):
        fail(throttle, f"user-{number}", "1.1.1.1")
        if number == 3:
            throttle.begin("mallory", "1.1.1.1").succeeded()  # an account of the attacker's own
    assert wait_s(throttle, "somebody-else", "1.1.1.1") == 1
    assert wait_s(throttle, "somebody-else", "2.2.2.2") == 0


def test_an_attacker_with_many_addresses_holds_a_user_for_half_a_minute_at_most() -> None:
    clock = FakeClock()
    throttle = Throttle(clock)
    for number in range(FREE_USER + 100):
        fail(throttle, "ann", f"10.0.{number // 250}.{number % 250}")
        clock.now += round(wait_s(throttle, "ann", "9.9.9.9") * 1000)
    fail(throttle, "ann", "10.9.9.9")
    assert wait_s(throttle, "ann", "9.9.9.9") == 30


def test_from_where_a_user_has_logged_in_nobody_elsewhere_can_hold_them() -> None:
    throttle = Throttle(FakeClock())
    throttle.begin("ann", "5.5.5.5").succeeded()
    for number in range(FREE_USER):
        fail(throttle, "ann", f"10.0.0.{number}")
    assert wait_s(throttle, "ann", "9.9.9.9") > 0
    assert wait_s(throttle, "ann", "5.5.5.5") == 0


def test_a_name_that_nobody_has_is_held_like_any_other() -> None:
    clock = FakeClock()
    throttle = Throttle(clock)
    for name in ("ann", "nobody"):
        fail(throttle, name, "1.1.1.1", FREE_PAIR)
    assert wait_s(throttle, "ann", "1.1.1.1") == wait_s(throttle, "nobody", "1.1.1.1") == 1


def test_failures_are_forgotten_after_a_quiet_quarter_of_an_hour() -> None:
    clock = FakeClock()
    throttle = Throttle(clock)
    fail(throttle, "ann", "1.1.1.1", FREE_PAIR - 1)
    clock.now += 900_001
    fail(throttle, "ann", "1.1.1.1", FREE_PAIR - 1)
    assert wait_s(throttle, "ann", "1.1.1.1") == 0


def test_what_is_remembered_is_bounded() -> None:
    throttle = Throttle(FakeClock(), size=10)
    for number in range(1000):
        throttle.begin(f"user-{number}", f"10.0.{number // 250}.{number % 250}").succeeded()
        fail(throttle, f"other-{number}", f"10.1.{number // 250}.{number % 250}")
    assert len(throttle) == 40  # pairs, addresses, users, and from where somebody logged in


@pytest.mark.parametrize(
    ("remote", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_an_ipv6_customer_is_one_address(remote: str, network: str) -> None:
    assert network_of(remote) == network
