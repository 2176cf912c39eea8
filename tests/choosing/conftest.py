"""What several tests of the choice of pairs draw."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.metrics.cosine import unit


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(50), 8)
    return unit(rng.normal(size=(50, 24))[identity] + 0.8 * rng.normal(size=(400, 24))), identity
