"""The learned map: it learns what moves of w do, from pictures alone, and answers in one shot."""

import numpy as np
import pytest
import torch
from toy_generator import SLIDE, SlidingGenerator
from typer.testing import CliRunner

from draggan_runtime import models, tensor_files
from draggan_runtime.cli import eval_run, train
from draggan_runtime.cli.eval import app
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation import methods
from draggan_runtime.evaluation.landmarks import Landmarks
from draggan_runtime.evaluation.learned_map import files, samples, training
from draggan_runtime.evaluation.learned_map.network import LearnedMap
from draggan_runtime.evaluation.learned_map.samples import GRID, Samples, places
from draggan_runtime.evaluation.learned_map.training import Training
from draggan_runtime.evaluation.runner import Evaluation
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.evaluation.tracking import Tracking


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(samples, "MOVES", 2)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where the map of a model is looked for."""
    monkeypatch.setattr(files, "path", lambda model: tmp_path / f"{model.replace(':', '-')}.safetensors")
    return files.path


def random_map(generator, std=1.0):
    """Of random weights: one that has learned nothing, but answers."""
    torch.manual_seed(0)
    learned = LearnedMap.of_generator(generator).eval()
    torch.nn.init.normal_(learned.out.weight, std=std)
    return learned


def slides(count):
    """Moves of the sliding generator, and what they do, by its definition."""
    draw = torch.Generator().manual_seed(1)
    w, move = torch.randn(count, 6, generator=draw), 0.4 * torch.randn(count, 6, generator=draw)
    way = (SLIDE * move[:, None, :2]).expand(-1, GRID**2, -1)
    return Samples(w, move, way, torch.ones(count, GRID**2, dtype=torch.bool))


def test_samples_say_how_far_pictures_slide(few):
    made = samples.face(SlidingGenerator(), 0)
    assert made.known.float().mean() > 0.5
    wanted = (SLIDE * made.move[:, None, :2]).expand_as(made.way)
    assert (made.way - wanted)[made.known].norm(dim=1).median() < 1
    assert wanted[made.known].norm(dim=1).median() > 5


def test_places_are_the_centres_of_cells_row_by_row():
    x, y = places().view(GRID, GRID, 2).unbind(-1)
    np.testing.assert_allclose(x[5], (np.arange(GRID) + 0.5) / GRID * 2 - 1, atol=1e-6)
    torch.testing.assert_close(x, y.T)


def test_the_order_of_points_does_not_matter_nor_points_that_are_missing():
    learned, draw = random_map(SlidingGenerator()), torch.Generator().manual_seed(2)
    w, at = torch.randn(1, 6, generator=draw), torch.rand(1, 7, 2, generator=draw) * 2 - 1
    ways = 20 * torch.randn(1, 7, 2, generator=draw)
    answer = learned(w, at, ways)
    order = torch.randperm(7, generator=draw)
    torch.testing.assert_close(learned(w, at[:, order], ways[:, order]), answer)
    missing = torch.arange(7)[None] >= 5
    torch.testing.assert_close(learned(w, at, ways, missing), learned(w, at[:, :5], ways[:, :5]))
    assert (learned(w, at[:, :5], ways[:, :5]) - answer).abs().max() > 1e-3


def test_what_is_learned_moves_points_as_asked_however_many_they_are(monkeypatch):
    monkeypatch.setattr(training, "BATCH", 32)
    torch.manual_seed(0)
    learned = LearnedMap.of_generator(SlidingGenerator())
    unexplained = [left for _, left in training.learn(learned, slides(200), 100)]
    assert unexplained[9] > 0.95
    assert unexplained[-1] < 0.75  # two of six numbers can be known
    way = np.array([12, -24])
    for count in (1, 5, 68):
        handles = np.random.default_rng(count).uniform(100, 400, (count, 2))
        moved = learned.answer(np.zeros((4, 6), np.float32), handles, handles + way, (512, 512))
        np.testing.assert_allclose(SLIDE * moved[0, :2], way, atol=4)
        np.testing.assert_array_equal(moved[0], moved[1])
        assert not moved[2:].any()


def test_pixels_are_those_of_the_full_output():
    learned, w_plus = random_map(SlidingGenerator()), np.ones((4, 6), np.float32)
    handles, way = np.array([[100.0, 200.0], [300.0, 50.0]]), np.array([8.0, -3.0])
    small = learned.answer(w_plus, handles, handles + way, (512, 512))
    large = learned.answer(w_plus, (handles + 0.5) * 2 - 0.5, (handles + way + 0.5) * 2 - 0.5, (1024, 1024))
    np.testing.assert_allclose(small, large, atol=1e-5)


def test_a_training_that_was_interrupted_draws_nothing_twice_and_ends_in_the_same_map(tmp_path, few):
    made = []
    for name, interrupted in (("a", False), ("b", True)):
        generator, file = SlidingGenerator(), tmp_path / name / "map.safetensors"
        if interrupted:
            next(Training(generator, file, 3, {}, steps=4).sample())
            first = Training(generator, file, 3, {}, steps=4)
            list(first.sample())
            next(first.learn())
        whole = Training(generator, file, 3, {"licence": "mine"}, steps=4)
        assert list(whole.sample()) == [1, 2, 3]
        assert generator.drawn == 3 * 3
        assert not whole.finished
        assert [step for step, _ in whole.learn()] == [1, 2, 3, 4]
        assert whole.finished
        assert list(file.parent.iterdir()) == [file]
        assert tensor_files.said(file)["licence"] == "mine"
        made.append(tensor_files.read(file))
    torch.testing.assert_close(*made, rtol=0, atol=0)


def test_the_command_trains_once_says_the_licence_and_what_it_makes_can_be_loaded(kept, few, monkeypatch):
    monkeypatch.setattr(training.Training.__init__, "__defaults__", (2,))
    done = [CliRunner().invoke(app, ["train-map", "--model", "stylegan2:32", "--faces", "2"]) for _ in range(2)]
    assert [run.exit_code for run in done] == [0, 0], done[0].output
    assert [run.stdout.strip() for run in done] == [str(kept("stylegan2:32"))] * 2
    assert [f"licence of the map: {models.find('stylegan2:32').info.licence}" in run.stderr for run in done] == [
        True,
        False,
    ]
    assert files.load("stylegan2:32").slots == models.find("stylegan2:32").load("cpu").coarse_slots


def test_ctrl_c_ends_the_training_after_the_face_that_is_being_made(kept, few, monkeypatch):
    monkeypatch.setattr(train.Watch, "interrupted", property(lambda _: True, lambda *_: None), raising=False)
    done = CliRunner().invoke(app, ["train-map", "--model", "stylegan2:32", "--faces", "2"])
    assert done.exit_code == 130
    assert "goes on from here" in done.stderr
    assert len(list(kept("stylegan2:32").parent.glob("*.parts/*"))) == 1


def test_a_row_whose_map_is_missing_is_one_line_with_the_command_that_trains_it(tmp_path, kept):
    with pytest.raises(UserError, match=r"draggan eval train-map --model ffhq$") as caught:
        Evaluation(Landmarks(), methods.parse(["learned-map"]), 1, tmp_path)
    assert "\n" not in str(caught.value)


def keep(file, std, sha256=None):
    """A map of the toy, said to be the default model's: nothing but the file is looked at."""
    said = {"format": files.FORMAT, "sha256": sha256 or models.find("ffhq").info.sha256}
    tensor_files.write(file, random_map(SlidingGenerator(), std).state_dict(), said)


def test_without_method_a_row_whose_map_is_missing_is_left_out_and_said_so(kept, capsys):
    everything = list(methods.of_kind("edits").values())
    made = eval_run.ready(Landmarks(), "ffhq")
    assert [row for row in everything if row not in made] == methods.parse(["learned-map"])
    assert "draggan eval train-map --model ffhq" in capsys.readouterr().err
    keep(kept("ffhq"), 1)
    assert eval_run.ready(Landmarks(), "ffhq") == everything


def test_where_trackers_alone_are_measured_there_is_no_such_row(tmp_path, kept, capsys):
    assert "learned-map" not in [row.name for row in eval_run.ready(Tracking(), "ffhq")]
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="'learned-map' has no tracker"):
        Evaluation(Tracking(), methods.parse(["none", "learned-map"]), 1, tmp_path)


def test_another_map_is_measured_anew(tmp_path, kept):
    def settings():
        return Evaluation(Landmarks(), methods.parse(["learned-map"]), 1, tmp_path).todo[0].settings

    keep(kept("ffhq"), 1)
    first = settings()
    assert settings() == first
    keep(kept("ffhq"), 2)
    assert settings() != first


def test_a_map_that_is_damaged_or_of_another_model_is_one_line(kept):
    file = kept("ffhq")
    for spoil in (lambda: keep(file, 1, sha256="another"), lambda: file.write_bytes(b"x")):
        spoil()
        with pytest.raises(UserError, match=r"train it again: draggan eval train-map --model ffhq$") as caught:
            files.load("ffhq")
        assert "\n" not in str(caught.value)


def test_a_drag_of_such_a_row_is_one_step_of_the_coarse_slots_and_claims_no_arrival(kept):
    model = "stylegan2:32"
    generator = models.find(model).load("cpu")
    learned = random_map(generator, std=0.01)
    tensor_files.write(kept(model), learned.state_dict(), {"format": files.FORMAT, "sha256": generator.sha256})
    overrides = [f"generator.model={model}", f"renderer.model={model}", 'tracker.level="32"', 'motion.level="32"']
    row, best = methods.parse(["learned-map", "best"])
    with Sessions(config="stylegan2", set=overrides) as sessions:
        session = sessions.open(row)
        assert sessions.open(row) is session
        assert sessions.open(best) is not session
        session.seed(3)
        before, picture = session.w_plus.copy(), session.image()
        result = sessions.drag(session, [((16, 16), (20, 12))], 300)
        wanted = learned.answer(before, np.array([[16, 16]]), np.array([[20, 12]]), (32, 32))
        np.testing.assert_allclose(session.w_plus, wanted, atol=1e-6)
        assert not np.array_equal(session.image(), picture)
        sessions.drag(session, [((20, 12), (16, 16))], 300)
        back = learned.answer(wanted, np.array([[20, 12]]), np.array([[16, 16]]), (32, 32))
        np.testing.assert_allclose(session.w_plus, back, atol=1e-5)
    assert (result.steps, result.stopped) == (1, "max_steps")
    assert result.points == [{"handle": [16, 16], "target": [20, 12], "final": None, "distance": None}]
