"""The picture of a fine-tuning says which pairs its figures are of."""

from __future__ import annotations

from magface_al.pictures.history import history_figure


def test_the_legend_says_which_pairs_each_figure_is_of():
    history = [
        {
            "epoch": k,
            "loss": k or None,
            "ranked": "every pair of six",
            "answered": "the answered pairs (7 of 9 chosen by a model's errors)",
            "val_auc": 0.9,
            "val_eer": 0.1,
            "val_accuracy": 0.8,
        }
        for k in range(3)
    ]
    figure = history_figure(history, 2, "eer")
    labels = {text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()}
    assert labels == {
        "auc of every pair of six",
        "eer of every pair of six (selects)",
        "accuracy of the answered pairs (7 of 9 chosen by a model's errors)",
        "best: epoch 2",
    }
