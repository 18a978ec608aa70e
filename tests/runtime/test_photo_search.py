"""How a session follows the search for a photo's latent, whatever answers when."""

from __future__ import annotations

import numpy as np
import pytest
from toy import toy_graph

from draggan_runtime.graph import load_launch
from draggan_runtime.messages import Inverting, LatentRequest, Message
from draggan_runtime.photo_search import PhotoSearch

PHOTO = LatentRequest(session="main", step=3, photo=np.zeros((80, 80, 3), np.uint8))
SEED = LatentRequest(session="main", seed=1)


def word(done: int, finished: bool = False) -> Inverting:
    return Inverting(session="main", done=done, of=9, distance=0.5, by="pixels", finished=finished)


class Search(PhotoSearch):
    """Remembers what it has sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        super().__init__(load_launch("local"), lambda port, message: self.sent.append((port, message)))

    def taken(self) -> list[tuple[str, Message]]:
        taken, self.sent = self.sent, []
        return taken


@pytest.fixture
def search() -> Search:
    return Search()


def test_each_step_is_asked_for_once_the_one_before_is_answered(search):
    assert not search.going
    search.expect(PHOTO)
    assert search.going
    assert search.waiting is PHOTO
    assert not search.go_on()
    for done in range(3):
        assert search.hear(word(done))
        assert search.go_on()
        assert not search.go_on()
    assert search.waiting is None
    assert search.hear(last := word(9, finished=True))
    assert (search.going, search.found, search.said) == (False, True, last)
    assert not search.go_on()
    asked = [message for port, message in search.taken() if port == "proceed"]
    assert [(m.step, m.cancelled) for m in asked] == [(3, False)] * 3


@pytest.mark.parametrize("begun", [False, True])
def test_one_that_shall_end_asks_for_the_end(search, begun):
    search.expect(PHOTO)
    if begun:
        search.hear(word(0))
    search.stop()
    if not begun:
        search.hear(word(0))
    search.go_on()
    assert search.taken()[-1][1].cancelled
    search.hear(word(1, finished=True))
    search.stop()  # of nothing
    search.expect(PHOTO)
    search.hear(word(0))
    search.go_on()
    assert not search.taken()[-1][1].cancelled


def test_who_watches_hears_each_word_and_that_it_is_given_up(search):
    search.expect(PHOTO)
    search.hear(first := word(0))
    search.expect(SEED)
    (one, two) = search.taken()
    assert one == ("inverting", first)
    assert (two[0], two[1].of, two[1].finished, two[1].step) == ("inverting", 0, True, 3)
    assert (search.going, search.said) == (False, None)
    search.expect(SEED)
    assert search.taken() == []


def test_of_a_search_that_another_follows_or_that_has_ended_nothing_is_given_up(search):
    search.expect(PHOTO)
    search.hear(word(0))
    search.expect(PHOTO)
    search.hear(word(0))
    search.go_on()
    search.hear(word(1, finished=True))
    search.expect(SEED)
    assert all(port == "proceed" or message.of for port, message in search.taken())


def test_answers_that_are_still_under_way_are_not_the_next_search_s(search):
    """The first is making a step, the second has not begun, when the third is wanted."""
    search.expect(PHOTO)
    search.hear(word(0))
    search.go_on()
    search.expect(PHOTO)
    search.expect(PHOTO)
    assert not search.hear(word(1, finished=True))
    assert not search.fail()
    assert search.waiting is PHOTO
    assert search.hear(word(0))
    assert search.waiting is None


def test_a_failure_ends_it(search):
    for words in (0, 2):
        search.expect(PHOTO)
        for done in range(words):
            search.hear(word(done))
            search.go_on()
        assert search.fail()
        assert not search.going
        assert search.taken()[-1][1].of == 0
        assert search.fail()  # of a request that was not for a search


def test_one_that_is_lost_is_not_waited_for(search):
    search.expect(PHOTO)
    search.expect(PHOTO)
    search.lose()
    assert not search.going
    assert not search.hear(word(0))
    search.expect(PHOTO)
    assert search.hear(word(0))


def test_where_no_node_searches_nothing_is_waited_for():
    search = PhotoSearch(toy_graph(), lambda port, message: None)
    assert not search.is_for(PHOTO)
    search.expect(PHOTO)
    assert not search.going
