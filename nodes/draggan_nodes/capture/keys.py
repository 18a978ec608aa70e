"""The keys of the window: what OpenCV says of them, and what they are for."""

from __future__ import annotations

HELP = (
    ("click, click", "set a handle, then its target; again for more"),
    ("drag a dot", "move a handle or a target"),
    ("right click", "on a dot: delete its pair"),
    ("backspace, r", "delete the last pair, all pairs"),
    ("space", "start, stop"),
    ("+  -", "step size"),
    ("t", "another tracker"),
    ("u, ctrl+z", "undo the last drag"),
    ("y, ctrl+y", "redo it"),
    ("m", "mask: left paints what may move, right erases"),
    ("[  ], wheel", "brush size"),
    ("c", "clear the mask: everything may move"),
    ("n", "new picture, another seed"),
    ("s, ctrl+s", "save picture and session"),
    ("o", "open a photo or a session; Enter alone: what was saved last"),
    ("f", "the next face of the photo"),
    ("b", "another piece of the photo: a box to move and size"),
    ("v", "record a video, end the recording"),
    ("h, F1, ?", "this help"),
    ("q, Esc", "quit; Esc first leaves help, the box, a point, the mask, a search"),
)

POINTS_HINT = "click a handle, then its target    space: start, stop    m: mask    h: help"
TARGET_HINT = "now click its target    right click or Esc: take the handle back"
MASK_HINT = "left paints what may move, right erases    [ ]: size    c: clear    m: done"
HELP_HINT = "h or Esc: close"
OPEN_HINT = "Enter: open    Tab: complete    Esc: give up    (nothing typed: what was saved last)"
SEARCH_HINT = "Esc: take the best so far    f: another face    b: another piece    n: another picture"
CROP_HINT = "drag: move it    a corner, + -, wheel: size    Enter: take this piece    Esc: back"

#: Codes of cv2.pollKey by name. Qt, GTK and Cocoa give X11 key symbols for keys without a character; Windows gives
#: control characters for ctrl with a letter, which Qt gives not at all (see :mod:`draggan_nodes.capture.x11`).
_NAMED = {
    27: "escape",
    8: "backspace",
    10: "enter",
    13: "enter",
    127: "backspace",
    0xFFFF: "backspace",  # delete
    0xFFBE: "h",  # F1
    0x700000: "h",  # F1 on Windows
    26: "u",
    25: "y",
    19: "s",
    ord("?"): "h",
    ord("="): "+",  # the key of +, without shift
    ord("_"): "-",
    ord("{"): "[",
    ord("}"): "]",
}


_TYPED = {27: "escape", 8: "backspace", 127: "backspace", 0xFFFF: "backspace", 9: "tab", 10: "enter", 13: "enter"}


def typed_name(code: int) -> str:
    """What the code that cv2.pollKey gave types: a character, "enter", "tab", "backspace", "escape"; "": nothing."""
    code &= 0xFFFF
    return _TYPED.get(code) or (chr(code) if 32 <= code < 127 else "")


def key_name(code: int) -> str:
    """The name of a key by the code that cv2.pollKey gave; "" for one that means nothing here."""
    if code in _NAMED:
        return _NAMED[code]
    code &= 0xFFFF  # GTK puts modifiers above
    if code in _NAMED:
        return _NAMED[code]
    return chr(code).lower() if 32 <= code < 127 else ""
