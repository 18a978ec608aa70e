"""States in parts: what changed, and putting it together again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from draggan_runtime.execution.parts import Delta, apply, between, flat, nested

KEYS = st.one_of(st.integers(0, 3), st.sampled_from("abc"))
SNAPSHOTS = st.recursive(st.integers(), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
STATES = st.dictionaries(KEYS, SNAPSHOTS, max_size=4)


@given(STATES, STATES, STATES)
def test_deltas_one_after_the_other_or_joined_lead_from_one_state_to_another(first, second, third):
    one, two = between(flat(first), flat(second)), between(flat(second), flat(third))
    parts = flat(first)
    apply(parts, one)
    assert nested(parts) == second
    apply(parts, two)
    assert nested(parts) == third
    at_once = flat(first)
    apply(at_once, one.then(two))
    assert nested(at_once) == third


def test_an_array_is_changed_if_it_is_another_object_and_only_then():
    kept, other = np.zeros(3), np.zeros(3)
    before = flat({"node": {"a": kept, "b": 1.0}})
    assert not between(before, flat({"node": {"a": kept, "b": 1.0}}))
    assert between(before, flat({"node": {"a": other, "b": 1.0}})) == Delta({("node", "a"): other})
