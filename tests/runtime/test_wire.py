"""Messages as bytes: what goes in comes out, and nothing else ever comes out."""

from __future__ import annotations

import contextlib
import pickle
import typing

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan_runtime.errors import WireError
from draggan_runtime.messages import Box, Features, Goal, Mask, Message, NodeFailure, PointPair, Progress
from draggan_runtime.wire import decode, encode, pack, to_host, unpack

GOAL = Goal(session="a", step=3, points=(PointPair(1, (1.0, 2.0), (3.5, 4.5)),))


def test_a_message_comes_back_as_it_was():
    assert decode(encode(GOAL)) == GOAL


def test_arrays_keep_every_bit_and_tensors_become_arrays():
    values = torch.randn(3, 4, 5)
    box = Box(values, (1, 2), 16.0, (64, 64))
    message = decode(encode(Features(session="a", step=1, size=(1024, 1024), levels={"64": (box,)})))
    assert isinstance(message, Features)
    back = message.levels["64"][0]
    assert back.values.tobytes() == values.numpy().tobytes()
    assert (back.origin, back.stride, back.map_size) == ((1, 2), 16.0, (64, 64))


def test_dictionaries_by_point_id_and_nested_records_survive():
    failure = NodeFailure("tracker", "tracking/nearest", "a", "ValueError: no")
    progress = Progress(
        session="a", drag_steps=2, handles={1: (1.5, 2.5)}, distances={1: 0.5}, confidence={1: 0.9},
        loss=0.25, w_plus=np.zeros((23, 512), np.float32), seconds=1.0, stopped="failed", failure=failure,
    )  # fmt: skip
    back = decode(encode(progress))
    assert back.handles == {1: (1.5, 2.5)}
    assert back.failure == failure


def test_a_message_without_tensors_is_not_copied_on_its_way_to_another_process():
    assert to_host(GOAL) is GOAL


@given(cut=st.integers(0, len(encode(GOAL)) - 1))
def test_truncated_bytes_are_a_clear_error(cut):
    with pytest.raises(WireError):
        decode(encode(GOAL)[:cut])


@settings(max_examples=300)
@given(position=st.integers(0, len(encode(GOAL)) - 1), value=st.integers(0, 255))
def test_changed_bytes_give_a_message_or_a_clear_error_and_never_anything_else(position, value):
    data = bytearray(encode(GOAL))
    data[position] = value
    with contextlib.suppress(WireError):
        assert isinstance(decode(bytes(data)), Message)


def record(name, fields) -> bytes:
    return msgpack.packb(msgpack.ExtType(2, msgpack.packb([name, fields])))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (record("Popen", {"args": "true"}), "unknown message 'Popen'"),
        (record("Goal", {"session": "a", "colour": 1}), "Goal has no field colour"),
        (record("Goal", {"session": "a", "points": "many"}), "Goal.points"),
        (record("Mask", {"session": "a", "movable": "all of it"}), "Mask.movable: not an array"),
        (record("Goal", {}), "Goal.session"),
        (msgpack.packb(msgpack.ExtType(9, msgpack.packb(1))), "unknown kind"),
        (pack([1, 2]), "not a message but list"),
        (pickle.dumps(GOAL), "not"),
        (b"", "not readable"),
    ],
)
def test_foreign_data_is_refused_in_one_line(data, says):
    with pytest.raises(WireError, match=says) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


def test_an_array_must_be_of_a_plain_type_and_of_the_size_it_says():
    def array(dtype, shape, raw):
        return msgpack.packb(msgpack.ExtType(1, msgpack.packb([dtype, shape, raw])))

    with pytest.raises(WireError, match=r"arrays of type '\|O'"):
        unpack(array("|O", [1], b"12345678"))
    with pytest.raises(WireError, match="damaged array"):
        unpack(array("<f4", [3], b"1234"))


def test_what_is_no_message_and_no_plain_value_cannot_be_packed():
    with pytest.raises(TypeError, match="cannot be saved or sent"):
        pack({"f": typing.cast})


def test_a_mask_of_none_is_a_mask():
    assert decode(encode(Mask(session="a"))).movable is None
