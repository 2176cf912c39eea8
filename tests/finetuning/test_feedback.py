"""From answers to the parts that are trained on, validated and tested."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.finetuning.feedback import split_feedback
from magface_al.finetuning.recipe import SplitRecipe
from magface_al.pairs.pair_file import Pair, PairFile, read_pairs


def answered(folder, same, different):
    """(answers about images of which each is in one pair, a face for each image)"""
    pairs = [Pair(f"{k}a.png", f"{k}b.png", int(k < same)) for k in range(same + different)]
    faces = {name: np.zeros((2, 2, 3), np.uint8) for pair in pairs for name in (pair.image1, pair.image2)}
    return PairFile(folder / "answers" / "f.json", pairs), faces


def test_every_readable_pair_is_written_to_one_part_with_its_root(tmp_path):
    feedback, faces = answered(tmp_path, 20, 20)
    del faces["3b.png"]
    run = Run("finetune_on_feedback.py", {})
    parts = split_feedback(feedback, faces, SplitRecipe(0.25, 0.25), tmp_path, run)
    written = [read_pairs(tmp_path / f"{name}_pairs.json") for name in ("train", "val", "test")]
    assert [file.pairs for file in written] == parts
    keys = [pair.key() for part in parts for pair in part]
    assert sorted(keys) == sorted(pair.key() for pair in feedback.pairs if pair.image1 != "3a.png")
    assert all({pair.label for pair in part} == {0, 1} for part in parts)
    assert all(file.extra["root"] == str(tmp_path / "answers") for file in written)
    assert run.facts["split"] == {"by": "group of answers", "crossing_pairs_left_out": 0}
    assert split_feedback(feedback, faces, SplitRecipe(0.25, 0.25), tmp_path, run) == parts


def test_without_a_share_there_is_no_test_part_and_no_file_of_it(tmp_path):
    feedback, faces = answered(tmp_path, 10, 10)
    parts = split_feedback(feedback, faces, SplitRecipe(0.5, 0.0), tmp_path, Run("x.py", {}))
    assert len(parts[0]) + len(parts[1]) == 20
    assert parts[2] == []
    assert not (tmp_path / "test_pairs.json").exists()


@pytest.mark.parametrize(("same", "different"), [(9, 0), (0, 9), (9, 1), (1, 9)])
def test_a_part_with_one_kind_of_answers_is_refused_with_what_helps(tmp_path, same, different):
    feedback, faces = answered(tmp_path, same, different)
    message = "f.json: the (training|validation) part has .*, expected both same and different ones; answer more pairs"
    with pytest.raises(UserError, match=message):
        split_feedback(feedback, faces, SplitRecipe(0.3), tmp_path, Run("x.py", {}))
