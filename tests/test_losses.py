"""The pair losses against loops in float64 that follow the formulas, and their gradients at the places that break them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from magface_al.finetuning import losses
from magface_al.finetuning.answered_pairs import balanced_batches
from magface_al.training.schedules import warmup_cosine


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(12, 8))
    second = first * rng.uniform(0, 1, (12, 1)) + rng.normal(size=(12, 8))
    unit = [e / np.linalg.norm(e, axis=1, keepdims=True) for e in (first, second)]
    return unit[0], unit[1], np.arange(12) % 3 == 0


def value(loss, first, second, *rest):
    return float(loss(torch.from_numpy(first), torch.from_numpy(second), *rest))


def test_contrastive_is_the_documented_formula(batch):
    first, second, same = batch
    expected = []
    for a, b, y in zip(first, second, same, strict=True):
        d = math.dist(a, b)
        expected.append(d**2 if y else max(0.0, 1.1 - d) ** 2)
    assert value(losses.contrastive_euclidean, *batch[:2], torch.from_numpy(same), 1.1) == pytest.approx(
        np.mean(expected)
    )


def test_contrastive_cosine_is_its_formula(batch):
    first, second, same = batch
    expected = []
    for a, b, y in zip(first, second, same, strict=True):
        c = float(np.dot(a, b))
        expected.append((1 - c) ** 2 if y else max(0.0, c - 0.1) ** 2)
    assert value(losses.contrastive_cosine, *batch[:2], torch.from_numpy(same), 0.1) == pytest.approx(np.mean(expected))


def test_logistic_is_its_formula(batch):
    first, second, same = batch
    expected = []
    for a, b, y in zip(first, second, same, strict=True):
        scaled = losses.LOGISTIC_SCALE * (float(np.dot(a, b)) - 0.4)
        expected.append(math.log1p(math.exp(-scaled if y else scaled)))
    assert value(losses.logistic, *batch[:2], torch.from_numpy(same), 0.4) == pytest.approx(np.mean(expected))


def test_in_batch_softmax_never_pushes_known_partners_apart(batch):
    directions = np.concatenate(batch[:2])
    group = np.array([0, 0, 0, 1, 1, *range(2, 21)])
    expected = []
    for i, a in enumerate(directions):
        strangers = sum(
            math.exp(np.dot(a, b) / losses.TEMPERATURE) for b, g in zip(directions, group, strict=True) if g != group[i]
        )
        for j, b in enumerate(directions):
            if i != j and group[i] == group[j]:
                partner = math.exp(np.dot(a, b) / losses.TEMPERATURE)
                expected.append(-math.log(partner / (partner + strangers)))
    found = losses.in_batch(torch.from_numpy(directions), torch.from_numpy(group))
    assert float(found) == pytest.approx(np.mean(expected))
    alone = losses.in_batch(torch.from_numpy(directions).requires_grad_(), torch.arange(24))
    alone.backward()  # nobody has a partner: nothing to learn, and no error
    assert float(alone.detach()) == 0


def test_distillation_is_zero_for_the_teacher_and_counts_magnitudes(batch):
    raw = torch.from_numpy(batch[0] * 20)
    assert float(losses.distillation(raw, raw)) == pytest.approx(0, abs=1e-12)
    assert float(losses.distillation(raw * math.e, raw)) == pytest.approx(1)
    assert float(losses.distillation(-raw, raw)) == pytest.approx(2)


@pytest.mark.parametrize("loss", [losses.contrastive_euclidean, losses.contrastive_cosine, losses.logistic])
def test_identical_embeddings_have_finite_gradients(loss):
    e1 = torch.eye(3, 4, requires_grad=True)
    loss(e1, torch.eye(3, 4), torch.tensor([True, False, True]), 0.4).backward()
    assert torch.isfinite(e1.grad).all()


def test_a_margin_of_04_gives_different_people_at_cosine_one_half_no_gradient():
    e1 = torch.tensor([[1.0, 0.0]], requires_grad=True)
    e2 = torch.tensor([[0.5, math.sqrt(0.75)]])
    losses.contrastive_euclidean(e1, e2, torch.tensor([False]), 0.4).backward()
    assert not e1.grad.any()
    losses.contrastive_cosine(e1, e2, torch.tensor([False]), 0.4).backward()
    assert e1.grad.any()


def test_batches_are_half_same_and_repeat_the_rarer_kind():
    same = np.array([True] * 3 + [False] * 20)
    batches = list(balanced_batches(same, 8, np.random.default_rng(0)))
    assert all(np.count_nonzero(same[batch]) == np.count_nonzero(~same[batch]) for batch in batches)
    assert set(np.concatenate(batches)) == set(range(23))


def test_the_learning_rate_rises_then_falls_to_nothing():
    factors = [warmup_cosine(step, 100, 0.1) for step in range(100)]
    assert np.all(np.diff(factors[:10]) > 0)
    assert max(factors) == 1
    assert np.all(np.diff(factors[10:]) < 0)
    assert factors[-1] < 0.001
