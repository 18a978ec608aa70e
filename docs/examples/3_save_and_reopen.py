"""Save a session, and go on with it later: the latent is the same, bit for bit.

python docs/examples/3_save_and_reopen.py
"""

import numpy as np

import draggan_runtime as draggan

with draggan.open(seed=7) as session:
    session.drag([((512, 590), (536, 590))])
    session.save("nose.draggan")
    saved = session.w_plus

with draggan.open("nose.draggan") as session:
    assert np.array_equal(session.w_plus, saved)
    result = session.drag([((536, 590), (512, 590))])  # and back
    print(f"{len(session.record.history)} drags, the last one {result.stopped}")
