"""Reading the constants of an OpenVINO IR."""

import numpy as np
import pytest
from draggan_nodes.generation.openvino_ir import read_constants

XML = """<?xml version="1.0"?>
<net><layers>
  <layer id="0" name="x" type="Parameter"><data shape="1, 2" element_type="f32"/></layer>
  <layer id="1" name="a" type="Const"><data element_type="f32" shape="2, 2" offset="4" size="16"/></layer>
  <layer id="2" name="b" type="Const"><data element_type="i64" shape="" offset="20" size="8"/></layer>
</layers></net>"""
DATA = b"\0" * 4 + np.array([1, 2, 3, 4], "<f4").tobytes() + np.array(-5, "<i8").tobytes()


def test_constants_come_with_their_names_shapes_and_values():
    constants = read_constants(XML.encode(), DATA)
    assert list(constants) == ["a", "b"]
    np.testing.assert_array_equal(constants["a"], [[1, 2], [3, 4]])
    assert constants["b"].shape == ()
    assert constants["b"] == -5


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (XML.replace('offset="20"', 'offset="24"'), "within the data"),
        (XML.replace('size="16"', 'size="12"'), "within the data"),
        (XML.replace('offset="4"', 'offset="-4"'), "within the data"),
        (XML.replace('"i64"', '"f64"'), "not understood"),
        (XML.replace('shape="2, 2"', 'shape="2, x"'), "not understood"),
        (XML.replace('name="b"', 'name="a"'), "twice"),
        (XML[:-10], "not an xml"),
        (XML.replace("<net>", '<!DOCTYPE net [<!ENTITY e "x">]><net>'), "document type"),
    ],
)
def test_a_broken_or_hostile_file_is_refused(broken, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_constants(broken.encode(), DATA)
