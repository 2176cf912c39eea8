"""The flags that say where to compute, with and without those of a network's batches."""

from __future__ import annotations

from magface_al.command import cli


def test_batches_are_asked_for_only_where_there_are_any():
    plain, batches = cli.new_parser("plain"), cli.new_parser("batches")
    cli.add_device_options(plain)
    cli.add_device_options(batches, batch_size=7)
    assert vars(plain.parse_args([])) == {"device": "auto", "force_cpu": False}
    assert vars(batches.parse_args([])) == {"device": "auto", "force_cpu": False, "batch_size": 7, "workers": 4}
