"""When a batch is closed, how much may wait and how many batches may run at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchPolicy:
    """When a batch is closed, how much may wait and how many batches may run at once."""

    max_rows: int = 1
    """Rows of one run of the engine."""
    max_wait_s: float = 0.0
    queue_rows: int = 1024
    slots: int = 1
    batches_at_once: int = 1
    """Batches that a thread does before it tells anyone, if so many wait. Answers that come together wake every
    process of the chain once and not one by one (docs/adr/0009)."""

    @property
    def most_begun(self) -> int:
        """Jobs handed to the threads, at work or next in line: no thread waits for the event loop between two."""
        return 2 * self.slots

    def rows_to_take(self, waiting_rows: int) -> int:
        """Rows for one job: what waits is shared among the slots, and a batch is filled first."""
        share = -(-waiting_rows // self.slots)
        return max(self.max_rows, min(share, self.max_rows * self.batches_at_once))
