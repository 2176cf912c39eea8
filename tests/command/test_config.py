"""Flags from a YAML file."""

from __future__ import annotations

import pytest

from magface_al.command import cli
from magface_al.command.config import apply_config
from magface_al.command.errors import UserError


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: !!int x\n", "line 1: epochs: 'x' is no positive_int"),
        ("epochs: 2026-13-40\n", "epochs: '2026-13-40' is no positive_int"),
        ("epochs: " + "9" * 5000 + "\n", "epochs: "),
        ("epochs: " + "[" * 20000 + "\n", "lists inside lists without end"),
        ("epochs: &a [*a]\n", "epochs: [...], expected one value"),
        ("? [1, 2]\n: 3\n", "line 1: expected `flag: value`"),
        ("<<: {epochs: 1, lr: 2}\n", "unknown key '<<'"),
        ("epochs:\n", "epochs: nothing, expected one value"),
        ("split_fc: !!bool x\n", "split_fc: x, expected yes or no"),
        ('output_dir: "a\\0b"\n', "output_dir: 'a\\x00b' is too long, or has characters"),
        ('output_dir: "a\\uD800"\n', "output_dir: "),
        ('output_dir: "a\\UFFFFFFFF"\n', "not YAML"),
        ("%YAML " + "9" * 5000 + ".1\n---\nepochs: 1\n", "c.yaml: not YAML"),
        ("epochs: {a: 1}\n", "epochs: a mapping, expected one value"),
        ("", "expected lines of `flag: value`"),
        (b"output_dir: caf\xe9\n", "c.yaml: not YAML"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_yaml_can_say_and_no_flag_means(run_script, tmp_path, text, message):
    (tmp_path / "c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in run_script("train.py", "--config", "c.yaml", "--data", "x", code=2).stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [("epochs: 010", 10), ("epochs: 1_0", 10), ("lr: 1e-4", 1e-4), ("split_fc: on", True), ("heads: x", None)],
)
def test_values_are_what_the_command_line_would_make_of_them(tmp_path, text, value):
    """To YAML 1.1, 010 is eight and 1e-4 a text."""
    parser = cli.new_parser("")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lr", type=float)
    cli.add_switch(parser, "--split_fc", "")
    (tmp_path / "c.yaml").write_text(text)
    if value is None:
        with pytest.raises(UserError, match="unknown key 'heads'"):
            apply_config(parser, tmp_path / "c.yaml")
        return
    apply_config(parser, tmp_path / "c.yaml")
    assert vars(parser.parse_args([]))[text.split(":")[0]] == value
