"""Save a session, go on with it later, undo and redo: always the same latent, bit for bit.

python docs/examples/3_save_and_reopen.py
"""

import numpy as np

import draggan_runtime as draggan

with draggan.open(seed=7) as session:
    session.drag([((512, 590), (536, 590))])
    session.save("nose.draggan")
    session.save("nose.png")  # a picture that carries its session
    saved = session.w_plus

with draggan.open("nose.png") as session:
    assert np.array_equal(session.w_plus, saved)
    result = session.drag([((536, 590), (512, 590))])  # and back
    session.undo()
    assert np.array_equal(session.w_plus, saved)
    session.redo()
    print(f"{len(session.record.history)} drags, the last one {result.stopped}")
