"""Loss scaling for float16, decided once for all processes and the whole model.

torch's GradScaler decides for each optimizer and process by itself. With a classifier in shards one process could then
skip a step that another takes, and their models would part.
"""

from __future__ import annotations

GROWTH_INTERVAL = 2000  # good steps after which the factor is doubled, as in torch.amp.GradScaler


class LossScale:
    """The factor on the loss: halved when a gradient overflowed, doubled after 2000 good steps; always 1 unless enabled."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.factor = 2.0**16 if enabled else 1.0
        self.good_steps = 0

    def update(self, finite: bool) -> None:
        """Account for a step whose gradients were all finite, or not."""
        if not self.enabled:
            return
        self.good_steps = self.good_steps + 1 if finite else 0
        if not finite:
            self.factor /= 2
        elif self.good_steps == GROWTH_INTERVAL:
            self.factor, self.good_steps = self.factor * 2, 0

    def state_dict(self) -> dict[str, float]:
        """What a resumed run needs."""
        return {"factor": self.factor, "good_steps": self.good_steps}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on where state_dict was taken."""
        self.factor, self.good_steps = state["factor"], int(state["good_steps"])
