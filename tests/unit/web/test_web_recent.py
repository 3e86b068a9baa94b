"""Pages given again: how long, to whom, and what is made anew."""

from __future__ import annotations

import threading

import pytest

from lydite.web.recent import Recent


class Clock:
    """A clock that the test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def numbered(made: list[int]):
    """Texts "1", "2", ... in the order in which they are made."""

    def make() -> str:
        made.append(len(made) + 1)
        return str(made[-1])

    return make


def test_a_page_is_given_again_until_it_is_too_old(clock):
    recent, make = Recent(1.0, clock), numbered([])
    assert recent.given("/runs?", make) == "1"
    clock.now_s += 0.9
    assert recent.given("/runs?", make) == "1"
    assert recent.given("/runs?after=3", make) == "2"
    clock.now_s += 0.1
    assert recent.given("/runs?", make) == "3"


def test_a_page_that_may_not_be_kept_is_made_every_time(clock):
    recent, make = Recent(0.0, clock), numbered([])
    assert [recent.given("/runs?", make) for _ in range(3)] == ["1", "2", "3"]


def test_what_is_fresh_is_told_without_making_it(clock):
    recent = Recent(1.0, clock)
    assert recent.fresh("/runs?") is None
    recent.given("/runs?", lambda: "there")
    clock.now_s += 0.9
    assert (recent.fresh("/runs?"), recent.fresh("/run?")) == ("there", None)
    clock.now_s += 0.1
    assert recent.fresh("/runs?") is None


def test_a_failure_is_not_kept(clock):
    recent = Recent(1.0, clock)

    def fails() -> str:
        raise ValueError("no such run")

    with pytest.raises(ValueError, match="no such run"):
        recent.given("/run?id=x", fails)
    assert recent.given("/run?id=x", lambda: "there") == "there"


def test_readers_who_come_together_wait_for_one_making():
    recent, made, begun, go = Recent(60.0), [], threading.Event(), threading.Event()

    def make() -> str:
        made.append(1)
        begun.set()
        assert go.wait(30)
        return "page"

    found: list[str] = []
    readers = [
        threading.Thread(target=lambda: found.append(recent.given("/runs?", make)))
        for _ in range(5)
    ]
    readers[0].start()
    assert begun.wait(30)
    for reader in readers[1:]:
        reader.start()
    assert recent.given("/other?", lambda: "other") == "other"  # nobody waits for another page
    go.set()
    for reader in readers:
        reader.join(30)
    assert (found, made) == (["page"] * 5, [1])


def test_old_addresses_are_forgotten(clock):
    recent, make = Recent(1.0, clock), numbered([])
    for number in range(1000):
        recent.given(f"/run?id={number}", make)
    assert len(recent._pages) == 64
    assert recent.given("/run?id=999", make) == "1000"
    assert recent.given("/run?id=0", make) == "1001"
