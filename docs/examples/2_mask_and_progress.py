"""Say what may move, watch every step, and stop when it is enough.

python docs/examples/2_mask_and_progress.py
"""

import numpy as np

import draggan_runtime as draggan

with draggan.open(seed=7) as session:
    height, width = session.image().shape[:2]
    y, x = np.mgrid[:height, :width]
    face = ((x - 512) / 290) ** 2 + ((y - 570) / 370) ** 2 < 1
    session.mask(face)  # nonzero = may move; a picture file will do, too

    def watch(progress: draggan.Progress) -> bool:
        print(f"step {progress.drag_steps}: {progress.distances[1]:.1f} px left, loss {progress.loss:.4f}")
        return progress.drag_steps < 10  # False stops the drag within a step

    result = session.drag([((512, 590), (560, 590)), ((420, 480), (420, 470))], progress=watch)
    print(result.stopped)
    session.save("with_mask.png")  # says in its metadata that it is synthetic
