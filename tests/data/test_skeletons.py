"""Limbs and pairs of left and right, by names of landmarks or by that of a skeleton."""

import pytest

from tf_landmarks.data import skeletons

pytestmark = pytest.mark.core


@pytest.mark.parametrize("skeleton", skeletons.SKELETONS.values(), ids=skeletons.SKELETONS)
def test_a_skeleton_joins_and_exchanges_its_own_landmarks(skeleton):
    count = len(skeleton.names)
    assert len(set(skeleton.names)) == count
    assert {index for pair in skeleton.limbs for index in pair} == set(range(count))
    for left, right in skeleton.flip_pairs:
        sides = skeleton.names[left], skeleton.names[right]
        assert sides == (sides[0], sides[0].replace("left", "right")) and sides[0] != sides[1]
    exchanged = dict(skeleton.flip_pairs) | {right: left for left, right in skeleton.flip_pairs}
    limbs = {
        tuple(sorted(exchanged.get(joint, joint) for joint in limb)) for limb in skeleton.limbs
    }
    assert limbs == {tuple(sorted(limb)) for limb in skeleton.limbs}


def test_human36m_pairs_are_those_of_the_specification():
    left, right = (
        set(side) for side in zip(*skeletons.SKELETONS["human36m"].flip_pairs, strict=True)
    )
    assert left == {*range(6, 11), *range(16, 24)} and right == {*range(1, 6), *range(24, 32)}
    assert set(range(32)) - left - right == {0, *range(11, 16)}
    joints = [f"joint{i}" for i in range(32)]
    assert skeletons.parse_flip_pairs("human36m", joints) == list(
        skeletons.SKELETONS["human36m"].flip_pairs
    )
    with pytest.raises(ValueError, match="for its 32 joints; there are 5"):
        skeletons.parse_flip_pairs("human36m", joints[:5])


def test_pairs_by_name():
    names = ["nose", "hand_l", "hand_r", "foot_l", "foot_r"]
    assert skeletons.parse_flip_pairs("hand_l:hand_r, foot_l:foot_r", names) == [(1, 2), (3, 4)]
    for words in ("hand_l", "hand_l:arm_r", "hand_l:hand_l", "hand_l:hand_r,hand_r:foot_l"):
        with pytest.raises(ValueError, match="--flip_pairs"):
            skeletons.parse_flip_pairs(words, names)


def test_limbs_are_named_or_those_of_human36m():
    assert skeletons.parse_limbs("", ["a"]) == []
    assert skeletons.parse_limbs("b:a, c:b", ["a", "b", "c"]) == [(1, 0), (2, 1)]
    limbs = skeletons.parse_limbs("human36m", [str(k) for k in range(32)])
    assert len(limbs) == 31 and sorted(joint for _, joint in limbs) == list(range(1, 32))
    # Both legs and the spine begin at the hip, head and arms at the neck.
    assert [b for a, b in limbs if a == 0] == [1, 6, 11]
    assert [b for a, b in limbs if a == 12] == [13, 16, 24]
    with pytest.raises(ValueError, match="--limbs: 'a:x' must be name:name"):
        skeletons.parse_limbs("a:x", ["a", "b"])
    with pytest.raises(ValueError, match="--limbs=human36m is for its 32 joints; there are 2"):
        skeletons.parse_limbs("human36m", ["a", "b"])
