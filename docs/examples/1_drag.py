"""Open a session on a seed, drag the nose to the right, look at the picture.

python docs/examples/1_drag.py
"""

from PIL import Image

import draggan_runtime as draggan

NOSE = (512, 590)

with draggan.open(seed=7) as session:
    before = session.image()  # uint8 RGB [H, W, 3]
    result = session.drag([(NOSE, (560, 590))])  # (handle, target), px of the full output
    after = session.image()

print(
    f"{result.stopped} after {result.steps} steps; the handle is {result.points[0]['distance']:.1f} px from the target"
)
Image.fromarray(before).save("before.png")
Image.fromarray(after).save("after.png")
