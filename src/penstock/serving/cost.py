"""What a prediction costs a model, learned from the predictions it makes."""

from __future__ import annotations

KEPT = 0.98
"""Share of the past that each prediction keeps: the last 50 count."""
OUTLIER = 8.0
"""A prediction that took this many times the mean counts as that many: another program had the processor."""
EXPLORED_ROWS = 8
"""Rows that are merged while nothing is known of what a row adds."""


class Cost:
    """The time of a prediction as `fixed_s + rows * row_s`, by least squares over a fading past.

    Not thread-safe to the last digit: two predictions at once may lose one of the two, which no decision
    notices.
    """

    def __init__(self) -> None:
        self.fixed_s = 0.0
        self.row_s = 0.0
        self.mean_s = 0.0
        self.count = 0
        self.is_known = False
        """Whether predictions of different sizes were seen, so that the two parts can be told apart."""
        self._weight = self._n = self._nn = self._t = self._nt = 0.0

    def add(self, rows: int, seconds: float) -> None:
        """Learn from one prediction."""
        self.count += 1
        if self.count == 1:
            self.mean_s = seconds
        elif self.count > 8:
            seconds = min(seconds, OUTLIER * max(self.mean_s, self.estimate(rows)))
        self.mean_s += 0.1 * (seconds - self.mean_s)
        self._weight = KEPT * self._weight + 1
        self._n = KEPT * self._n + rows
        self._nn = KEPT * self._nn + rows * rows
        self._t = KEPT * self._t + seconds
        self._nt = KEPT * self._nt + rows * seconds
        mean_n, mean_t = self._n / self._weight, self._t / self._weight
        spread = self._nn / self._weight - mean_n * mean_n
        if spread > 0.05 * mean_n * mean_n:
            covariance = self._nt / self._weight - mean_n * mean_t
            self.row_s = max(0.0, covariance / spread)
            self.is_known = self.count > 8
        self.fixed_s = max(0.0, mean_t - self.row_s * mean_n)

    def estimate(self, rows: int) -> float:
        """Return the seconds that a prediction of so many rows is expected to take."""
        return self.fixed_s + rows * self.row_s

    def worthwhile_rows(self, delay_s: float, max_rows: int) -> int:
        """Return up to how many rows merged requests are answered faster than one after the other.

        Doubling a batch of n saves `fixed_s / 2n` a row; it is worth it while that is a twentieth of what a
        row costs, and while the rows of the others delay none by more than `delay_s`.
        """
        if not self.is_known:
            return min(EXPLORED_ROWS, max_rows)
        if self.row_s <= 0:
            return max_rows
        gained = 9 * self.fixed_s / self.row_s
        within = delay_s / self.row_s
        return max(1, min(max_rows, int(gained), int(within)))
