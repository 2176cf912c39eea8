"""The classifier in shards on several gloo processes against the whole one: loss, gradients, weights, saved state."""

from __future__ import annotations

import os
import weakref
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from magface_al.command.errors import UserError
from magface_al.training import distributed
from magface_al.training.classifier import Classifier, _directions
from magface_al.training.heads import build_head
from magface_al.training.recipe import TrainingRecipe

CLASSES, DIMENSIONS, IMAGES = 11, 6, 12  # classes divide by neither 2 nor 4
CASES = [(head, split) for head in ("magface", "adaface") for split in (True, False)]


def batch():
    rng = np.random.default_rng(4)
    inputs = torch.from_numpy(rng.normal(size=(IMAGES, 5)) * rng.uniform(0.5, 20, (IMAGES, 1)))
    return inputs, torch.from_numpy(rng.permutation(np.arange(IMAGES) % CLASSES))


def backbone():
    torch.manual_seed(0)
    return torch.nn.Linear(5, DIMENSIONS).double()


def classifier_of(head, split):
    # The margin's radial gradient needs magnitudes inside [l_a, u_a].
    options = {"l_a": 0.5, "u_a": 60.0} if head == "magface" else {}
    recipe = TrainingRecipe(head=head, head_options=options, scale=8.0)
    return Classifier(build_head(recipe), DIMENSIONS, CLASSES, seed=7, split=split).double()


def join(number, processes, folder, work, *arguments):
    """One process of several, as torchrun would start it."""
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE=str(processes), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    distributed.together(lambda device: work(number, processes, *arguments), "cpu", True, f"file://{folder}/meet")


def steps(number, processes, folder):
    """Steps by the sharded and by the replicated classifier, their results written to files."""
    inputs, labels = (values.chunk(processes)[number] for values in batch())
    for head, split in CASES:
        network, classifier = DistributedDataParallel(backbone()), classifier_of(head, split)
        assert len(classifier.weight) < CLASSES or not split
        classify = classifier if split else DistributedDataParallel(classifier)
        loss, figures = classify(network(inputs), labels, 0)
        loss.backward()
        gradient = classifier.weight.grad
        gathered = distributed.gather_shards(gradient, CLASSES) if split else gradient
        figures = distributed.mean_over_ranks(figures)
        if number == 0:
            torch.save({"figures": figures, "backbone": [p.grad for p in network.parameters()], "classifier": gathered,
                        "buffers": dict(classifier.named_buffers())}, f"{folder}/{head}_{split}.pt")  # fmt: skip


@pytest.mark.slow(5)
@pytest.mark.process
@pytest.mark.parametrize("processes", [2, 4])
def test_shards_equal_the_whole(tmp_path, processes):
    multiprocessing.spawn(join, (processes, str(tmp_path), steps, str(tmp_path)), nprocs=processes)
    inputs, labels = batch()
    for head, split in CASES:
        network, classifier = backbone(), classifier_of(head, split=False)
        loss, figures = classifier(network(inputs), labels, 0)
        loss.backward()
        found = torch.load(tmp_path / f"{head}_{split}.pt", weights_only=True)
        assert torch.allclose(found["figures"], figures, rtol=1e-5, atol=1e-5), (head, split)
        for mine, whole in zip(found["backbone"], network.parameters(), strict=True):
            assert torch.allclose(mine, whole.grad, rtol=1e-5, atol=1e-5), (head, split)
        assert torch.allclose(found["classifier"], classifier.weight.grad, rtol=1e-5, atol=1e-5), (head, split)
        for name, value in classifier.named_buffers():
            assert torch.allclose(found["buffers"][name], value), (head, split)


@pytest.mark.parametrize("fails", [False, True])
def test_models_are_gone_before_the_processes_part(tmp_path, monkeypatch, fails):
    """Otherwise the process ends with SIGABRT, more often than not."""
    models, alive_when_parting = [], []
    part = dist.destroy_process_group
    monkeypatch.setattr(
        dist, "destroy_process_group", lambda: (alive_when_parting.append(models[0]() is not None), part())
    )

    def work(device):
        dist.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
        network = DistributedDataParallel(backbone())
        models.append(weakref.ref(network))
        network(batch()[0]).sum().backward()
        if fails:
            try:
                raise ValueError("what was behind it")
            except ValueError as error:
                raise UserError("the step failed") from error

    with pytest.raises(UserError, match="the step failed") if fails else nullcontext():
        distributed.together(work, "cpu", True)
    assert alive_when_parting == [False]
    assert not dist.is_initialized()


def test_the_batch_above_does_pull_on_the_magnitude():
    """Upstream loses this gradient where image and class live on different processes; equality must not be 0 = 0."""
    inputs, labels = batch()
    whole = []
    for options in ({"l_a": 0.5, "u_a": 60.0}, {"l_a": 0.5, "u_a": 60.0, "l_m": 0.45, "u_m": 0.45}):
        raw = backbone()(inputs).detach().requires_grad_()
        recipe = TrainingRecipe(head_options={**options, "lambda_g": 0.0}, scale=8.0)
        loss, _ = Classifier(build_head(recipe), DIMENSIONS, CLASSES, seed=7).double()(raw, labels, 0)
        loss.backward()
        whole.append((raw.grad * raw.detach()).sum(1))  # the part along the embedding
    assert whole[1].abs().max() < 1e-12
    assert (whole[0].abs() > 1e-6).sum() >= IMAGES // 3


def test_each_process_draws_the_rows_that_the_whole_would_have():
    whole = _directions(40_000, 3, 5, 0, 40_000)
    for first, last in (distributed.share_of(40_000, place, 3) for place in range(3)):
        assert torch.equal(_directions(40_000, 3, 5, first, last), whole[first:last])
    assert torch.allclose(whole.norm(dim=1), torch.ones(40_000))
