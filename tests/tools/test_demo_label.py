"""tools/demo_label.py: the labeller on drawn people."""

from __future__ import annotations

import pytest

from tests.support.labeller_process import Client, labeller
from tests.support.scripts import ROOT


@pytest.mark.process
@pytest.mark.slow(8)
def test_the_demo_opens_the_labeller_on_drawn_people_and_goes_on_where_it_ended(tmp_path):
    command = [ROOT / "tools" / "demo_label.py", "--output_dir", "demo", "--people", 6, "--pairs", 12, "--no_browser"]
    with labeller(tmp_path, command=command, feedback="demo/answers.json") as server:
        ann = Client(server)
        question = ann.questions(1)[0]
        assert ann.request("GET", f"/image/{question['left']['image']}").getheader("content-type") == "image/png"
        ann.answer(question["pair"], "same")
        server.stop()
        assert [pair["label"] for pair in server.exported()].count(1) == 1
        assert {pair["strategy"] for pair in server.exported()} == {"sampled"}  # so they are known to be hard ones
        server.start()
        assert "create_test_feedback.py" not in server.output
        assert Client(server).call("progress")["settled"] == 1
        out, err, code = server.stop()
    assert (code, "finetune_on_feedback.py" in out) == (0, True)
