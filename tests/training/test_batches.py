"""Order and reading of the images."""

from __future__ import annotations

import numpy as np

from magface_al.training.batches import rows_of_epoch


def test_processes_share_a_step_whose_images_do_not_depend_on_their_number():
    alone = rows_of_epoch(103, 24, 1, 0, 1, seed=1, epoch=2)
    shared = [rows_of_epoch(103, 24, 3, part, 2, seed=1, epoch=2) for part in range(3)]
    assert alone.shape == (4, 1, 24)
    assert shared[0].shape == (4, 2, 4)
    for step in range(4):
        assert sorted(alone[step].ravel()) == sorted(np.concatenate([part[step].ravel() for part in shared]))
    assert len(set(alone.ravel())) == 96
    assert not np.array_equal(alone, rows_of_epoch(103, 24, 1, 0, 1, seed=1, epoch=3))
