"""The scale of float16's loss."""

from __future__ import annotations

from magface_al.training.loss_scale import GROWTH_INTERVAL, LossScale


def test_the_loss_scale_halves_at_an_overflow_and_doubles_after_a_good_while():
    scale = LossScale(enabled=True)
    scale.update(False)
    assert scale.factor == 2.0**15
    for _ in range(GROWTH_INTERVAL):
        scale.update(True)
    assert scale.factor == 2.0**16
    copy = LossScale(enabled=True)
    copy.load_state_dict(scale.state_dict())
    assert vars(copy) == vars(scale)
    plain = LossScale(enabled=False)
    plain.update(False)
    assert plain.factor == 1
