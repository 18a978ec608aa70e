"""Makes ffhq_openvino.npz: what OpenVINO's own runtime computes from the published files of the default model.

Development only: `pip install openvino numpy` in an environment of its own, then
`python make_ffhq_openvino.py random_face-2021.7.21.1-py3-none-any.whl`.
Last made with OpenVINO 2026.4.1 on a CPU, float32.

Keys: `seeds` [N]; `w` [N, 512], the mapping's output for RandomState(seed).randn(1, 512); `w_mean` [512], its mean
over RandomState(123).randn(10000, 512). Of the picture of w_mean + 0.7 * (w - w_mean), float32 in [-1, 1]:
`pooled` [N, 3, 32, 32], means over 32 x 32 px; `crop` [N, 3, 40, 40], rows 560:600 and columns 500:540.
`features_<rows>` [N, 2, C]: mean and standard deviation of every channel of a feature map.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import openvino

SEEDS = [0, 7, 42]
# The activations after the styled convolutions that end a block, by the rows of their map.
ACTIVATIONS = {
    "LeakyRelu_42": 4,
    "LeakyRelu_342": 32,
    "LeakyRelu_442": 64,
    "LeakyRelu_542": 128,
    "LeakyRelu_742": 512,
}


def compiled(folder, name, outputs=()):
    core = openvino.Core()
    model = core.read_model(Path(folder) / "random_face" / "data" / f"{name}Network.xml")
    found = {op.get_friendly_name(): op for op in model.get_ops()}
    model.add_outputs([found[name].output(0) for name in outputs])
    return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def main(wheel):
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        mapping = compiled(folder, "Mapping")
        synthesis = compiled(folder, "Synthesis", ACTIVATIONS)
        out = make(mapping, synthesis)
    np.savez_compressed(Path(__file__).with_name("ffhq_openvino.npz"), **out)


def make(mapping, synthesis):
    def w_of(z):
        return np.array(mapping(z[None])[0][0])

    w = np.stack([w_of(np.random.RandomState(s).randn(1, 512).astype(np.float32)[0]) for s in SEEDS])
    samples = np.random.RandomState(123).randn(10000, 512).astype(np.float32)
    w_mean = np.mean([w_of(z) for z in samples], axis=0, dtype=np.float64).astype(np.float32)
    out = {"seeds": np.array(SEEDS), "w": w, "w_mean": w_mean, "pooled": [], "crop": []}
    out |= {f"features_{rows}": [] for rows in ACTIVATIONS.values()}
    for one in w:
        image, *maps = (np.array(a[0]) for a in synthesis((w_mean + np.float32(0.7) * (one - w_mean))[None]).values())
        out["pooled"].append(image.reshape(3, 32, 32, 32, 32).mean((2, 4)))
        out["crop"].append(image[:, 560:600, 500:540])
        for values in maps:
            out[f"features_{values.shape[-2]}"].append([values.mean((1, 2)), values.std((1, 2))])
    return {key: np.asarray(value, None if key == "seeds" else np.float32) for key, value in out.items()}


if __name__ == "__main__":
    main(sys.argv[1])
