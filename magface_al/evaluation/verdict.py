"""What a comparison of two models may claim: a verdict on pairs drawn at random, and none where errors chose them or one of
the models was trained on their people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.run import Run
from magface_al.evaluation.before_after import Comparison, before_after_table
from magface_al.pairs.chosen import LEAST_OF_A_KIND, RANDOM, drawn_at_random, enough, mined_in_words, random_pairs_file
from magface_al.pairs.pair_file import Pair, describe
from magface_al.pairs.people import name_people


@dataclass(frozen=True)
class Judgement:
    """What the pairs of one file say of two models.

    whole: the comparison on all its pairs. warning: why that is no measure of the change; "" where it is. drawn: what was
    drawn at random, in words. honest: the comparison on that, which may be whole itself; None where it lacks a kind of pairs,
    or people who were not trained on.
    """

    path: Path
    whole: Comparison
    warning: str
    drawn: str
    honest: Comparison | None

    @property
    def best(self) -> Comparison:
        """The comparison to look at: the honest one, where it has pairs enough; otherwise the whole."""
        return self.honest if self.honest is not None and enough(self.honest.pairs) else self.whole

    def title(self, comparison: Comparison) -> str:
        """What stands above its table and its picture."""
        if comparison is self.whole:
            return f"{self.path}: {self.warning}" if self.warning else str(self.path)
        weighed = ", each weighed by how many it stands for" if comparison.weight is not None else ""
        return f"{self.path}: its {self.drawn} drawn at random{weighed}"

    def tables(self) -> str:
        """For the screen: the whole's table, and the honest part's where that is not the whole."""
        parts = [self.whole, *([self.honest] if self.honest not in (None, self.whole) else [])]
        return "\n\n".join(f"{self.title(part)}\n{before_after_table(part)}" for part in parts)

    def verdict(self) -> str | None:
        """One sentence on whether the model became better; None where there is no ground for one."""
        if self.honest is None or not enough(self.honest.pairs):
            return None
        change, limits = self.honest.change()["eer"], self.honest.change_intervals()["eer"]
        if change is None or limits is None:  # of one person, say
            return None
        found = "better" if limits[1] < 0 else "worse" if limits[0] > 0 else "no improvement shown"
        interval = f"[{100 * limits[0]:+.2f}, {100 * limits[1]:+.2f}]"
        return f"{found}: EER {100 * change:+.2f} points, 95 % interval {interval}, on {self.drawn}"

    def conclusion(self) -> str:
        """The verdict, or why there is none, for the screen."""
        found = self.verdict()
        if found is not None:
            return f"verdict: {found}"
        if self.whole.trained_on:
            return "no verdict: people of these pairs were trained on, expected pairs of others"
        return f"no verdict: {self.drawn} drawn at random, expected at least {LEAST_OF_A_KIND} of each kind, of several people"

    def as_dict(self) -> dict[str, Any]:
        """For evaluation.json: the whole's figures under its title, the honest part's where that is not the whole, the verdict."""
        part = self.honest if self.honest is not self.whole else None
        named = None if part is None else {"title": self.title(part), **part.as_dict()}
        return {
            "title": self.title(self.whole),
            **self.whole.as_dict(),
            "drawn_at_random": named,
            "verdict": self.verdict(),
            "conclusion": self.conclusion(),
        }


def judge(path: Path, whole: Comparison) -> Judgement:
    """See which of the pairs say honestly what changed."""
    rows = drawn_at_random(whole.pairs)
    drawn = describe([pair for pair, keep in zip(whole.pairs, rows, strict=True) if keep])
    if whole.trained_on:
        warning = (
            "people of these pairs were trained on: the change below overstates the gain, so there is no verdict on it"
        )
        return Judgement(path, whole, warning, drawn, None)
    if rows.all():
        return Judgement(path, whole, "", drawn, whole)
    honest = whole.of(rows) if len(np.unique(whole.same[rows])) == 2 else None
    chosen = mined_in_words(whole.pairs)
    warning = (
        f"{chosen}: the change below overstates the gain, so there is no verdict on it"
        if chosen
        else "pairs of random slices and others are no one sample, so there is no verdict on them together"
    )
    return Judgement(path, whole, warning, drawn, honest)


def suggest_random_pairs(evaluated: Path, pairs: Sequence[Pair], weights: Sequence[object], run: Run) -> None:
    """Say how to come by a verdict where a file's pairs allow none. weights: the flags that name the two models."""
    beside = random_pairs_file(evaluated)
    if beside.exists():
        run.suggest("python", "evaluate_finetuned_model.py", *weights, "--feedback_file", beside)
    else:
        suggest_asking(pairs, run)


def suggest_asking(pairs: Sequence[Pair], run: Run) -> None:
    """Say how to come by random pairs of people like those of `pairs`: from folders where they are named, else by asking."""
    if name_people(pairs):
        run.note("a verdict needs random pairs of people never trained on; HELD_OUT has one folder for each of them")
        run.suggest(
            "python", "create_test_feedback.py", "--dataset", "HELD_OUT", "--output_dir", "test_feedback_held_out"
        )
    else:
        run.note(
            "a verdict needs answers about random pairs of people never trained on; FEATURES is a store of their images"
        )
        share = ["--strategy", RANDOM, "--random_share", 0.9]
        files = ["--features_list", "FEATURES", "--output_file", "ask_random.json"]
        run.suggest("python", "choose_pairs.py", *files, *share)
