"""The answers that a person can give to "do these two faces show the same person?", and the labels that they amount to.

These words stand in the feedback file, in the database and in the pages' requests, so they never change their meaning.
"""

from __future__ import annotations

from magface_al.pairs.pair_file import DIFFERENT, SAME

ANSWER_SAME, ANSWER_DIFFERENT, UNSURE, BAD_IMAGE, SKIP = "same", "different", "unsure", "bad_image", "skip"
UNABLE = (UNSURE, BAD_IMAGE)  # of people who looked and could not tell
VOTES = (ANSWER_SAME, ANSWER_DIFFERENT, *UNABLE)
ANSWERS = (*VOTES, SKIP)  # who skips a pair has said nothing about it
LABEL_OF = {ANSWER_SAME: SAME, ANSWER_DIFFERENT: DIFFERENT}
ANSWER_OF = {label: answer for answer, label in LABEL_OF.items()}
