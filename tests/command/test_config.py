"""Flags from a YAML file."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 1\nwarmup_epoch: 3\n", "c.yaml: line 2: unknown key 'warmup_epoch', nearest is 'warmup_epochs'"),
        ("bach_size: 3\n", "unknown key 'bach_size', nearest is 'batch_size'"),
        ("epochs: many\n", "line 1: epochs: 'many' is no positive_int"),
        ("epochs: -1\n", "epochs: -1 is not a positive whole number"),
        ("head: sphereface\n", "head: 'sphereface', expected one of magface"),
        ("epochs: [1, 2]\n", "epochs: [1, 2], expected one value"),
        ("split_fc: 3\n", "split_fc: 3, expected yes or no"),
        ("epochs: 1\nepochs: 2\n", "'epochs' is given twice"),
        ("- epochs\n", "expected lines of `flag: value`"),
        ("epochs: [\n", "c.yaml: not YAML"),
    ],
)
def test_a_wrong_config_file_says_where_and_what(run_script, tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    assert message in run_script("train.py", "--config", "c.yaml", "--data", "x", code=2).stderr
