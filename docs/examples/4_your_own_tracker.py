"""A tracker of your own: one class. Any layout takes it, by its file and name.

draggan nodes check docs/examples/4_your_own_tracker.py:GreedyTracker
draggan drag --seed 7 --point 512,590:560,590 --out out \
    --set tracker.impl=docs/examples/4_your_own_tracker.py:GreedyTracker
python docs/examples/4_your_own_tracker.py
"""

import numpy as np
from draggan_nodes.tracking import Found, Level, Points, Tracker

import draggan_runtime as draggan

AROUND = np.array([(x, y) for y in range(-3, 4) for x in range(-3, 4)], dtype=np.float64)


class GreedyTracker(Tracker):
    """Looks only 3 px around a handle, and takes the position most like the template by cosine similarity."""

    def find(self, level: Level, points: Points) -> Found:
        window = level.inside(points.positions[:, None] + AROUND * level.scale)  # [P, K, 2] px
        values = level.sample(window)  # [P, K, C]
        template = points.templates[:, None]
        likeness = (values * template).sum(-1) / (values.norm(dim=-1) * template.norm(dim=-1))
        best = likeness.argmax(dim=1).cpu().numpy()
        rows = np.arange(len(best))
        return Found(window[rows, best], likeness.clamp(0, 1).cpu().numpy()[rows, best])


if __name__ == "__main__":
    with draggan.open(seed=7, set=[f"tracker.impl={__file__}:GreedyTracker"]) as session:
        print(session.drag([((512, 590), (536, 590))]).stopped)
