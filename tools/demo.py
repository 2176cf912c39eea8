"""The whole loop on drawn people, with the real scripts: features, hard pairs, errors, fine-tuning, questions, evaluation.

The model has seen only clean pictures (tools/pretrain_demo_model.py); the people of the demo are seen by a bad camera
(domain cctv). It learns from answers about some of them and is measured on others. Clean faces of yet others hold it in
place (--replay_list), so that it gets no worse for the camera it knows. All faces are drawn: the figures say that the
loop works, not how well it works on real faces. The first answers are about people whose names are known; then comes
one round of active learning: choose_pairs.py asks about people whom nobody has named, an oracle answers, and the model
is trained anew on all answers.

example  python tools/demo.py --output_dir demo
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from magface_al.command import cli, numbers
from magface_al.command.errors import WorkError
from magface_al.command.run import Run

MODEL = ROOT / "assets" / "demo_magface.pth"


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--output_dir", type=Path, default=Path("demo"), help="folder for everything written")
    parser.add_argument("--domain", default="cctv", help="camera that the model has to adapt to")
    parser.add_argument("--epochs", type=numbers.positive_int, default=6, help="of fine-tuning")
    parser.add_argument(
        "--scale", type=numbers.interval("(0, 1]"), default=1.0, help="share of the people and pairs to work with"
    )
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    args.output_dir.mkdir(parents=True, exist_ok=True)
    folder = args.output_dir.resolve()

    def stage(script: str, *flags: object) -> None:
        print(f"\n$ python {script} {' '.join(map(str, flags))}", flush=True)
        subprocess.run(
            [sys.executable, ROOT / script, *map(str, flags)], cwd=folder, check=False, env=os.environ
        ).check_returncode()

    def scaled(count: int) -> int:
        return max(2, round(args.scale * count))

    def people(name: str, seed: int, count: int, pairs: int, domain: str) -> None:
        stage("create_test_feedback.py", "--synthetic", "--domain", domain, "--num_identities", scaled(count), "--images_per_identity", 6,
              "--num_pairs", scaled(pairs), "--seed", seed, "--output_dir", name)  # fmt: skip

    def fine_tune(output: str, *answers: str) -> None:
        stage("finetune_on_feedback.py", "--checkpoint", MODEL, "--feedback_file", *answers, "--replay_list", "ordinary/images.list",
              "--output_dir", output, "--epochs", args.epochs, "--batch_size", 32, "--lr", 0.0005)  # fmt: skip

    try:
        people("learn", 101, 120, 600, args.domain)
        people("held_out", 102, 150, 1500, args.domain)
        people("general", 103, 150, 1500, "clean")
        people("ordinary", 105, 100, 2, "clean")
        stage("gen_features.py", "--inf_list", "learn/images.list", "--feat_list", "learn.npy", "--resume", MODEL)
        stage("build_hard_pairs.py", "--features_list", "learn.npy", "--output_file", "feedback.json", "--strategy", "sampled",
              "--candidate_mult", 2, "--pos_target", scaled(250), "--neg_target", scaled(250))  # fmt: skip
        stage("visualize_errors.py", "--model", MODEL, "--feedback_file", "held_out/feedback_pairs_test.json", "--output_dir", "errors_before",
              "--max_fp", 15, "--max_fn", 15)  # fmt: skip
        fine_tune("tuned", "feedback.json")
        ask_about_unnamed_people(stage, people, fine_tune, args.domain, scaled(200))
        stage("visualize_errors.py", "--model", "tuned_again/magface_feedback_best.pth", "--feedback_file", "held_out/feedback_pairs_test.json",
              "--output_dir", "errors_after", "--max_fp", 15, "--max_fn", 15)  # fmt: skip
        stage("evaluate_finetuned_model.py", "--checkpoint", MODEL, "--finetuned", "tuned_again/magface_feedback_best.pth",
              "--feedback_file", "held_out/feedback_pairs_test.json", "--general_file", "general/feedback_pairs_test.json",
              "--output_dir", "evaluation")  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise WorkError(
            f"{Path(error.cmd[1]).name} ended with exit code {error.returncode}; its message stands above"
        ) from None
    conclude(folder, run)


def ask_about_unnamed_people(
    stage: Callable[..., None], people: Callable[..., None], fine_tune: Callable[..., None], domain: str, budget: int
) -> None:
    """One round of active learning: features, questions, answers, fine-tuning on all answers, and what the round changed.

    From the new answers alone, all of them about hard pairs, the model would unlearn what the first ones taught.
    """
    tuned, again = "tuned/magface_feedback_best.pth", "tuned_again/magface_feedback_best.pth"
    people("unnamed", 104, 120, 2, domain)
    stage("gen_features.py", "--inf_list", "unnamed/images.list", "--feat_list", "unnamed.npy", "--resume", tuned)
    stage("choose_pairs.py", "--features_list", "unnamed.npy", "--output_file", "ask.json", "--budget", budget)
    stage("tools/oracle.py", "--pairs_file", "ask.json", "--feedback_file", "answers.json")
    fine_tune("tuned_again", "feedback.json", "answers.json")
    stage("choose_pairs.py", "--features_list", "unnamed.npy", "--answered", "answers.json", "--output_file", "ask_next.json")  # fmt: skip
    stage("evaluate_finetuned_model.py", "--checkpoint", tuned, "--finetuned", again, "--feedback_file",
          "held_out/feedback_pairs_test.json", "--output_dir", "evaluation_of_the_round")  # fmt: skip


def conclude(folder: Path, run: Run) -> None:
    """The one line that matters, and where to look."""
    target = json.loads((folder / "evaluation" / "evaluation.json").read_text())["target"]
    low, high = target["change_intervals_95"]["eer"]
    print(
        f"\npeople never trained on (all faces are drawn): EER {target['before']['eer']:.2%} before, {target['after']['eer']:.2%} after, "
        f"change {100 * target['change']['eer']:+.2f} points, 95 % interval [{100 * low:+.2f}, {100 * high:+.2f}]"
    )
    run.output(folder / "errors_after" / "index.html", "the page of what it still gets wrong")
    run.output(folder / "evaluation" / "before_after.png", "the picture before and after")


if __name__ == "__main__":
    cli.run(build_parser(), main)
