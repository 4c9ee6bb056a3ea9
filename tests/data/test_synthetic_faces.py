"""Drawn faces: the landmarks are where the paint is, and the set is neither trivial nor torn."""

import csv
import dataclasses

import cv2
import numpy as np
import pytest

from tf_landmarks.data import synthetic_faces
from tf_landmarks.data.synthetic_faces import LANDMARKS, make_face
from tf_landmarks.data.synthetic_faces.appearance import Look, Pose, random_look, random_pose
from tf_landmarks.data.synthetic_faces.drawing import draw_face, face_landmarks
from tf_landmarks.data.synthetic_faces.shape import curve

pytestmark = pytest.mark.core

SIZE = 64
POSE = Pose(x=0.03, y=-0.02, roll=11, scale=0.95, yaw=17, pitch=-5, mouth_open=0.4, smile=0.6)


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """`[2000, A, 2]` pixels of 2000 faces."""
    rngs = [np.random.default_rng((7, index)) for index in range(2000)]
    return np.stack([face_landmarks(random_look(rng), random_pose(rng), SIZE) for rng in rngs])


def changed(first: Look, second: Look, pose: Pose, size: int = SIZE) -> np.ndarray:
    """How much each pixel `[size, size]` differs between two looks in one pose."""
    images = [draw_face(look, pose, size)[0].astype(float) for look in (first, second)]
    return np.abs(images[0] - images[1]).sum(-1)


def point(landmarks: np.ndarray, name: str) -> np.ndarray:
    return landmarks[..., LANDMARKS.index(name), :]


def test_a_face_depends_on_its_numbers_alone():
    image, points = make_face(3, 5, pose=1, size=SIZE)
    again, points_again = make_face(3, 5, pose=1, size=SIZE)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    assert points.shape == (len(LANDMARKS), 2) and points.dtype == np.float64
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(points, points_again)
    for other in (make_face(4, 5, 1, SIZE), make_face(3, 6, 1, SIZE), make_face(3, 5, 0, SIZE)):
        assert np.abs(points - other[1]).max() > 1


def test_poses_of_one_index_share_their_background():
    def share_of_equal_pixels(first, second):
        return np.mean((first[0] == second[0]).all(-1))

    for index in range(5):
        first = make_face(0, index, pose=0)
        assert share_of_equal_pixels(first, make_face(0, index, pose=1)) > 0.15
        assert share_of_equal_pixels(first, make_face(0, index + 1, pose=0)) < 0.02


def test_all_landmarks_lie_inside_the_image(landmarks):
    assert landmarks.min() >= 0 and landmarks.max() <= SIZE - 1


def test_the_eyes_are_never_close_together(landmarks):
    distances = np.linalg.norm(point(landmarks, "left_eye") - point(landmarks, "right_eye"), axis=1)
    frontal = 0.25 * SIZE * 0.8  # at the smallest scale
    assert distances.min() >= 0.6 * frontal


def test_the_mean_shape_is_a_poor_answer(landmarks):
    eyes = np.linalg.norm(point(landmarks, "left_eye") - point(landmarks, "right_eye"), axis=1)
    errors = np.linalg.norm(landmarks[1000:] - landmarks[:1000].mean(0), axis=-1).mean(1)
    assert 25 < 100 * np.mean(errors / eyes[1000:]) < 32


@pytest.mark.parametrize("pose", [Pose(), POSE, dataclasses.replace(POSE, yaw=-29, scale=0.8)])
def test_each_iris_is_centred_on_its_eye_landmark(pose):
    dark, light = Look(eyes=(0, 0, 0)), Look(eyes=(255, 255, 255))
    weights = changed(dark, light, pose)
    points = draw_face(dark, pose, SIZE)[1]
    left, right = point(points, "left_eye"), point(points, "right_eye")
    y, x = np.mgrid[:SIZE, :SIZE]
    pixels = np.stack([x, y], -1).astype(float)  # [SIZE, SIZE, 2]
    nearer_left = np.linalg.norm(pixels - left, axis=-1) < np.linalg.norm(pixels - right, axis=-1)
    for eye, mask in ((left, nearer_left), (right, ~nearer_left)):
        mass = (weights * mask)[..., None]
        assert mass.sum() > 0
        np.testing.assert_allclose((mass * pixels).sum((0, 1)) / mass.sum(), eye, atol=0.5)


@pytest.mark.parametrize("mouth_open", [0.0, 0.8])
def test_mouth_landmarks_are_the_ends_of_the_lips(mouth_open):
    size = 256
    pose = Pose(x=0.04, y=0.03, mouth_open=mouth_open)
    lips = changed(Look(lips=(255, 0, 0)), Look(lips=(0, 255, 255)), pose, size) > 60
    points = draw_face(Look(), pose, size)[1]
    rows, columns = np.nonzero(lips.any(1))[0], np.nonzero(lips.any(0))[0]
    assert abs(columns.min() - point(points, "mouth_left")[0]) < 2.5
    assert abs(columns.max() - point(points, "mouth_right")[0]) < 2.5
    middle = np.nonzero(lips[:, round(point(points, "mouth_top")[0])])[0]
    assert abs(middle.min() - point(points, "mouth_top")[1]) < 1.5
    assert abs(rows.max() - point(points, "mouth_bottom")[1]) < 1.5


def test_brow_landmarks_are_the_ends_of_the_brows():
    size = 256
    bald = Look(hair_style="none", hair=(0, 0, 0), skin=(255, 230, 210))
    brows = changed(bald, dataclasses.replace(bald, hair=(0, 0, 120)), Pose(x=0.02), size) > 30
    points = draw_face(bald, Pose(x=0.02), size)[1]
    columns = np.nonzero(brows.any(0))[0]
    gap = columns[np.argmax(np.diff(columns)) : np.argmax(np.diff(columns)) + 2]
    found = [columns.min(), gap[0], gap[1], columns.max()]
    names = ["left_brow_outer", "left_brow_inner", "right_brow_inner", "right_brow_outer"]
    np.testing.assert_allclose(found, [point(points, name)[0] for name in names], atol=1.5)


def test_curves_pass_through_their_points():
    points = np.random.default_rng(0).normal(size=(7, 2))
    np.testing.assert_allclose(curve(points)[::6], points)
    np.testing.assert_allclose(curve(points, closed=True)[::6], points)


def test_shift_roll_and_scale_move_landmarks_by_the_known_amount():
    before = draw_face(Look(), Pose(yaw=10, smile=0.5), SIZE)[1] - (SIZE - 1) / 2
    pose = Pose(yaw=10, smile=0.5, x=0.05, y=-0.1, roll=30, scale=1.2)
    after = draw_face(Look(), pose, SIZE)[1] - (SIZE - 1) / 2
    # Clockwise in the image, where y points down: (x, y) -> (cos x - sin y, sin x + cos y).
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    expected = 1.2 * before @ np.array([[c, s], [-s, c]]) + np.array([0.05, -0.1]) * SIZE
    np.testing.assert_allclose(after, expected, atol=1e-9)


def test_a_mirrored_pose_gives_mirrored_landmarks():
    mirrored_pose = dataclasses.replace(POSE, x=-POSE.x, roll=-POSE.roll, yaw=-POSE.yaw)
    points, mirrored = draw_face(Look(), POSE, SIZE)[1], draw_face(Look(), mirrored_pose, SIZE)[1]
    swap = {"left": "right", "right": "left"}
    for name in LANDMARKS:
        partner = "_".join(swap.get(part, part) for part in name.split("_"))
        x, y = point(points, name)
        np.testing.assert_allclose(point(mirrored, partner), (SIZE - 1 - x, y), atol=1e-9)


def test_a_small_picture_is_the_large_one_at_half_the_size():
    large, points = make_face(2, 9, size=128)
    small, small_points = make_face(2, 9, size=64)
    np.testing.assert_allclose((points + 0.5) / 2 - 0.5, small_points, atol=1e-9)
    halved = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(float) - small).mean() < 5


def test_written_set_holds_the_faces_and_their_landmarks(tmp_path):
    folder = tmp_path / "new" / "faces"
    synthetic_faces.write_dataset(folder, num_train=3, num_test=2, size=32, seed=1, poses=2)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["faces"]
    for part, indices in (("train", (0, 1, 2)), ("test", (3, 4))):
        with open(folder / part / "landmarks.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(list((folder / part / "images").iterdir())) == 2 * len(indices)
        for row, (index, pose) in zip(rows, ((i, p) for i in indices for p in (0, 1)), strict=True):
            image, points = make_face(1, index, pose, size=32)
            stored = cv2.imread(str(folder / part / "images" / row["file"]))[:, :, ::-1]
            np.testing.assert_array_equal(stored, image)
            read = [[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in LANDMARKS]
            np.testing.assert_allclose(read, points, atol=0.0006)


def test_masks_lie_where_the_faces_are(tmp_path):
    synthetic_faces.write_dataset(tmp_path / "plain", num_train=1, num_test=1, size=48)
    synthetic_faces.write_dataset(tmp_path / "masks", num_train=6, num_test=1, size=48, masks=True)
    assert not (tmp_path / "plain" / "train" / "labels").exists()
    written = sorted((tmp_path / "masks" / "train" / "labels").iterdir())
    assert len(written) == 6 and "labels/" in (tmp_path / "masks" / "README.md").read_text()
    for index, path in enumerate(written):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (48, 48) and set(np.unique(mask)) == {0, 1}
        _, points = make_face(0, index, size=48)
        inner = points[[LANDMARKS.index(name) for name in ("nose_tip", "left_eye", "mouth_top")]]
        assert all(mask[y, x] for x, y in np.rint(inner).astype(int))
        # The chin and the jaw are on its edge: inside a little towards the nose, outside a little away from it.
        edge = points[[LANDMARKS.index(name) for name in ("left_jaw", "right_jaw", "chin")]]
        for step, inside in ((-0.15, 1), (0.15, 0)):
            places = np.rint(edge + step * (edge - inner[0])).astype(int)
            assert [mask[y, x] for x, y in places if max(x, y) < 48] == [inside] * sum(
                places.max(axis=1) < 48
            )


def test_a_complete_set_is_left_as_it_is(tmp_path):
    synthetic_faces.write_dataset(tmp_path, num_train=2, num_test=1, size=32)
    image = next((tmp_path / "train" / "images").iterdir())
    image.write_bytes(b"touched")
    synthetic_faces.write_dataset(tmp_path, num_train=2, num_test=1, size=32)
    assert image.read_bytes() == b"touched"


def test_a_folder_with_anything_else_is_refused(tmp_path):
    synthetic_faces.write_dataset(tmp_path / "faces", num_train=1, num_test=1, size=32)
    with pytest.raises(ValueError, match=r"\"size\": 32.*name another folder"):
        synthetic_faces.write_dataset(tmp_path / "faces", num_train=1, num_test=1, size=64)
    with pytest.raises(ValueError, match=r"holds other files.*name another folder"):
        synthetic_faces.write_dataset(tmp_path, num_train=1, num_test=1, size=32)
