"""Rows of the tables and the cases under them: named, fixed, checked."""

import pytest

from draggan_runtime.errors import UserError
from draggan_runtime.evaluation import methods
from draggan_runtime.evaluation.cases import pairs_of_seeds, single_seeds
from draggan_runtime.graph import load_launch


@pytest.mark.parametrize("name", list(methods.known()))
def test_each_method_that_comes_with_the_program_fits_the_graph(name):
    load_launch("local", methods.known()[name].overrides)


def test_no_edit_is_a_method_and_the_preset_as_it_is_another():
    assert not methods.known()["none"].edits
    assert methods.known()["best"].edits
    assert methods.known()["best"].overrides == ()


def test_a_method_of_ones_own_has_overrides_and_their_values_may_have_commas():
    (made,) = methods.parse(["mine:tracker.radius=8,drag.some=[1, 2],motion.radius=4"])
    assert made == methods.Method("mine", ("tracker.radius=8", "drag.some=[1, 2]", "motion.radius=4"))


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["neares"], "nearest"),
        (["best:tracker.radius=8"], "is a method already"),
        (["a/b:tracker.radius=8"], "no name"),
        (["mine:tracker.radius"], "name:node.param=value"),
        (["best", "none", "best"], "given twice"),
    ],
)
def test_a_method_that_cannot_be_meant_is_one_line(texts, says):
    with pytest.raises(UserError, match=says) as caught:
        methods.parse(texts)
    assert "\n" not in str(caught.value)


def test_cases_are_the_same_each_time_and_more_of_them_begin_with_the_fewer():
    assert pairs_of_seeds(20)[:5] == pairs_of_seeds(5)
    assert pairs_of_seeds(2)[0].seeds == (97447, 15557)
    assert single_seeds(3)[0].seeds == (97447,)


def test_no_seed_is_listed_twice_and_none_was_used_to_choose_presets():
    seeds = [seed for case in pairs_of_seeds(200) for seed in case.seeds]
    assert len(set(seeds)) == 400
    assert min(seeds) >= 10_000


def test_more_cases_than_are_listed_is_one_line():
    with pytest.raises(UserError, match="only 200 cases"):
        pairs_of_seeds(201)
