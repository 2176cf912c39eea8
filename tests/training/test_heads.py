"""The margin heads against loops in float64 that follow the papers, their gradients, and the places that break them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from magface_al.training.classifier import Classifier
from magface_al.training.heads import MagFace, build_head
from magface_al.training.recipe import HEADS, TrainingRecipe
from magface_al.training.setup import magnitude_range
from magface_al.training.split_fc import softmax_cross_entropy

# Magnitudes below, inside and above [l_a, u_a] of MagFace; targets on both sides of 0, near the ends and beyond pi - m.
MAGNITUDES = np.array([3.0, 10.5, 22.0, 36.0, 109.0, 150.0, 25.0, 40.0, 15.0])
COSINES = np.array([0.9, 0.55, 0.1, -0.2, -0.6, 0.999, -0.93, -0.99, 0.0])


def head_of(name, **options):
    return build_head(TrainingRecipe(head=name, head_options=options)).double()


def margin_of(a, l_a, u_a, l_m, u_m):
    return l_m + (u_m - l_m) / (u_a - l_a) * (min(max(a, l_a), u_a) - l_a)


def expected_target(name, cosine, magnitude):
    """What the papers and the upstream code say enters the softmax, one image at a time."""
    values, theta = HEADS[name].numbers, math.acos(cosine)
    if name == "cosface":
        return cosine - 0.4
    if name == "arcface":
        return math.cos(theta + 0.5) if theta + 0.5 < math.pi else cosine - 0.5 * math.sin(0.5)
    if name == "arcface-insightface":
        return math.cos(theta + 0.5)
    if name == "magface":
        return math.cos(theta + margin_of(magnitude, 10, 110, 0.45, 0.8)) if cosine > 0 else cosine
    if name == "mag-cosface":
        return cosine - margin_of(magnitude, 10, 110, 0.35, 0.8)
    z = min(max(values["h"] * (min(max(magnitude, 0.001), 100) - 20) / (100 + 1e-3), -1), 1)
    theta = math.acos(min(max(cosine, -0.999), 0.999))
    return math.cos(min(max(theta - 0.4 * z, 1e-3), math.pi - 1e-3)) - (0.4 + 0.4 * z)


@pytest.mark.parametrize("name", HEADS)
def test_targets_are_the_published_formula(name):
    found = head_of(name).target(torch.from_numpy(COSINES), torch.from_numpy(MAGNITUDES))
    expected = [expected_target(name, c, a) for c, a in zip(COSINES, MAGNITUDES, strict=True)]
    assert found.numpy() == pytest.approx(expected, abs=1e-9)


def test_magface_margins_regulariser_and_bound_are_the_published_values():
    head = head_of("magface")
    magnitude = torch.tensor([10.0, 20, 22, 25, 30, 36, 40, 110], dtype=torch.float64)
    assert head.margin(magnitude).tolist() == pytest.approx([0.45, 0.485, 0.492, 0.5025, 0.52, 0.541, 0.555, 0.8])
    assert (head.regulariser(magnitude[[0, 1, 4]]) / 35).tolist() == pytest.approx(
        [0.10083, 0.05165, 0.03581], abs=5e-6
    )
    assert head.lambda_bound() == pytest.approx(22.587, abs=5e-4)
    assert head_of("mag-cosface").lambda_bound() == pytest.approx(29.04, abs=5e-3)
    assert MagFace(64, 1, 51, 0.45, 1, 5, True, True).lambda_bound() == pytest.approx(0.704, abs=5e-4)


def test_without_easy_margin_magface_continues_past_the_horizon():
    head = build_head(TrainingRecipe(easy_margin=False)).double()
    found = head.target(
        torch.tensor([-0.2, -0.99], dtype=torch.float64), torch.tensor([10.0, 10.0], dtype=torch.float64)
    )
    assert found.tolist() == pytest.approx([math.cos(math.acos(-0.2) + 0.45), -0.99 - 0.45 * math.sin(0.45)])


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_those_of_the_formula(name):
    cosine = torch.from_numpy(COSINES[:7]).clamp(-0.99, 0.99).requires_grad_()
    magnitude = torch.tensor([12.0, 20, 30, 60, 100, 40, 25], dtype=torch.float64, requires_grad=True)
    head = head_of(name).eval()
    if name == "arcface-insightface":  # its gradient is not that of its formula: the published models' quirk
        head.target(cosine, magnitude).sum().backward()
        assert cosine.grad.tolist() == [1.0] * 7
    elif name == "adaface":  # no gradient flows to the magnitude
        assert torch.autograd.gradcheck(lambda c: head.target(c, magnitude), (cosine,))
        assert torch.autograd.grad(head.target(cosine, magnitude).sum(), magnitude, allow_unused=True) == (None,)
    else:
        assert torch.autograd.gradcheck(head.target, (cosine, magnitude))
        assert torch.autograd.gradcheck(head.regulariser, (magnitude,))


def test_the_exact_arcface_gradient_differs_from_insightfaces():
    cosine = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    head_of("arcface").target(cosine, cosine).backward()
    assert cosine.grad.item() == pytest.approx(1.3475, abs=5e-5)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_ends_of_every_range_have_finite_gradients(name, dtype):
    """cos = +-1 exactly, the zero vector, magnitudes outside [l_a, u_a], under autocast as in training."""
    classifier = Classifier(build_head(TrainingRecipe(head=name)), 4, 3, seed=0)
    with torch.no_grad():
        classifier.weight.copy_(torch.eye(3, 4))
    raw = torch.cat([torch.eye(3, 4) * 30, -torch.eye(3, 4) * 1000, torch.eye(3, 4) * 1e-3, torch.zeros(1, 4)])
    label = torch.tensor([0, 1, 2, 0, 1, 2, 1, 1, 2, 0])
    if dtype == torch.float16:  # the zero vector's own gradient, 1 / |x|, is beyond float16: such a step is skipped
        raw, label = raw[:-1], label[:-1]
    raw = raw.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16 if dtype == torch.float32 else dtype):
        loss, figures = classifier(raw, label, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(figures).all()
    assert torch.isfinite(raw.grad).all()
    assert torch.isfinite(classifier.weight.grad).all()
    assert loss.dtype == torch.float32


def test_adaface_follows_the_batch_and_survives_a_batch_of_one():
    head = build_head(TrainingRecipe(head="adaface"))
    magnitude = torch.tensor([10.0, 14.0, 30.0])
    head.observe(magnitude)
    assert head.batch_mean.item() == pytest.approx(0.01 * 18 + 0.99 * 20)
    assert head.batch_std.item() == pytest.approx(0.01 * np.std([10, 14, 30], ddof=1) + 0.99 * 100)
    before = head.batch_std.clone()
    head.observe(magnitude[:1])
    head.eval()
    head.observe(magnitude)
    assert head.batch_std == before


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_the_softmax_over_all_classes(name):
    rng = np.random.default_rng(1)
    raw, label = rng.normal(size=(6, 5)) * rng.uniform(2, 50, (6, 1)), rng.integers(7, size=6)
    classifier = Classifier(head_of(name), 5, 7, seed=3).double().eval()
    weight = classifier.weight.detach().numpy()
    weight = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    losses = []
    for embedding, y in zip(raw, label, strict=True):
        a = np.linalg.norm(embedding)
        logits = weight @ embedding / a
        logits[y] = expected_target(name, logits[y], a)
        logits *= 64
        regulariser = 0.0
        if "l_a" in HEADS[name].numbers:
            clamped = min(max(a, 10), 110)
            regulariser = HEADS[name].numbers["lambda_g"] * (clamped / 110**2 + 1 / clamped)
        losses.append(logits.max() + math.log(np.exp(logits - logits.max()).sum()) - logits[y] + regulariser)
    loss, figures = classifier(torch.from_numpy(raw), torch.from_numpy(label), 0)
    assert float(loss.detach()) == pytest.approx(np.mean(losses), rel=1e-6)
    assert float(figures[0]) == pytest.approx(np.mean(losses), rel=1e-6)
    assert float(figures[5]) == pytest.approx(np.linalg.norm(raw, axis=1).mean())


def test_the_softmaxs_gradient_is_right():
    cosine = (
        torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ).requires_grad_()
    local = torch.tensor([0, 5, 3, 3])
    assert torch.autograd.gradcheck(lambda c: softmax_cross_entropy(c, local, 3.0, False)[0], (cosine,))
    found = softmax_cross_entropy(cosine, local, 3.0, False)[0]
    assert torch.allclose(found, torch.nn.functional.cross_entropy(cosine * 3, local, reduction="none"))


def test_sampling_keeps_the_classes_of_the_batch_and_a_share_of_the_others():
    classifier = Classifier(build_head(TrainingRecipe(head="cosface")), 8, 100, seed=0, sample_rate=0.2)
    label = torch.tensor([7, 99, 7])
    weight, local = classifier._rows(label, step=5)
    assert len(weight) == 20
    assert torch.equal(weight[local], classifier.weight[label])
    assert torch.equal(classifier._rows(label, 5)[0], weight)
    assert not torch.equal(classifier._rows(label, 6)[0], weight)
    classifier(torch.randn(3, 8, generator=torch.Generator().manual_seed(1)), label, 5)[0].backward()
    assert int((classifier.weight.grad.abs().sum(1) > 0).sum()) == 20


def test_the_automatic_range_repeats_the_official_one_for_official_magnitudes():
    found = magnitude_range(np.linspace(20, 36, 1001), TrainingRecipe())
    assert found["l_a"] == pytest.approx(10, abs=0.1)
    assert found["u_a"] == pytest.approx(108, abs=0.6)
    head = build_head(TrainingRecipe(head_options=found))
    assert head.lambda_g / head.lambda_bound() == pytest.approx(35 / 22.587, rel=0.01)
