"""Writes a file in the format of stylegan2-ada-pytorch: configuration F, SIDE x SIDE px, random weights.

`python tests/data/make_stylegan2_pickle.py 1024 config-f.pkl`, for `draggan bench load config-f.pkl`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from checkpoint_files import nvidia
from draggan_nodes.generation.stylegan2_state import Architecture

if __name__ == "__main__":
    side, file = sys.argv[1:]
    state = Architecture.config_f(int(side)).random_state(0)
    Path(file).write_bytes(nvidia(state, nested=True))
