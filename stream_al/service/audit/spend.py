"""What the gate may spend: bounds that hold at every event, whatever it was asked. Pure integers.

Along one partition, of all events since its gate began (units of 2^-30 label):

* asked = Σp + (what the threshold still had to go) − (what it had in the beginning), both in [0, 1)
  label, so |asked − Σp| < 1 label at every event, for any budget and burst; between any two events
  the difference moves by less than 2.
* A block of M labels holds tokens t (rates still to come, −rate < t ≤ M) and mass m (propensity not
  dealt out, 0 ≤ m); opening one adds M to both, an event takes `rate` from t and p from m. So
  Σp − Σrate = t − m < M, and > −M where no mass is carried from block to block, which happens
  for M > 1 when the rate rises (from then on the sums are held from the start only).
* In a block at most M were asked, so asked − Σrate = (asked in it) − M + t lies in (−M, M): over
  any window queries − Σrate < 2·M. This is I4.

M of a block is the burst in force when it opened: a lower one counts once the old block's labels
are surely used up. `rate` is written rounded; the two bounds of it keep every comparison exact.
"""

from __future__ import annotations

UNIT = 1 << 30
ROUNDING_UNITS = 6
"""A rate is written with 8 digits: it is off by at most 5·10⁻⁹ label, 5.4 units."""


class Spend:
    """The running sums of one partition.

    Attributes
    ----------
    _burst, _drained
        M of the open block at most, and the rates since a lower one came into force.
    _drawn, _drawn_low, _drawn_high
        asked − Σp, and its extremes at the events since the start.
    _queries, _queries_low
        asked − Σrate at least, and the lowest of it + M at an event so far.
    _mass, _mass_low
        Σp − Σrate at least, and the lowest of it + M so far.
    _spare, _spare_high
        Σp − Σrate at most, and the highest of it − M so far.

    Parameters
    ----------
    from_start
        Whether the first event given is the first that the gate ever saw.

    Examples
    --------
    >>> spend = Spend(from_start=True)
    >>> spend.add(UNIT // 2, UNIT // 2, UNIT // 2, asked=False, burst=1) is None
    True
    >>> spend.add(UNIT // 2, UNIT // 2, UNIT // 2, asked=False, burst=1)[0]
    'propensity'
    """

    __slots__ = (
        "_burst",
        "_carries",
        "_drained",
        "_drawn",
        "_drawn_high",
        "_drawn_low",
        "_from_start",
        "_mass",
        "_mass_low",
        "_queries",
        "_queries_low",
        "_rate",
        "_spare",
        "_spare_high",
    )

    def __init__(self, *, from_start: bool) -> None:
        self._burst = 0
        self._drained = 0
        self._rate = UNIT
        self._begin(from_start=from_start)

    def _begin(self, *, from_start: bool) -> None:
        self._from_start = from_start
        self._carries = False
        margin = 0 if from_start else self._burst * UNIT
        self._drawn = self._drawn_low = self._drawn_high = 0
        self._queries = self._mass = self._spare = 0
        self._queries_low = self._mass_low = margin
        self._spare_high = -margin

    def restart(self) -> None:
        """Begin the sums anew at the present place, which is not the gate's beginning."""
        self._begin(from_start=False)

    def add(
        self, propensity: int, rate_low: int, rate_high: int, *, asked: bool, burst: int
    ) -> tuple[str, str] | None:
        """Count one event; return (invariant, sentence) when a bound is broken, and begin anew.

        Parameters
        ----------
        propensity
            p in units, in [0, UNIT].
        rate_low, rate_high
            The rate in units, as exactly as it is known.
        asked
            Whether the gate asked, on paper or in earnest.
        burst
            The burst in force for this event.
        """
        if burst != self._burst or burst > 1:
            self._follow(burst, rate_low, rate_high)
        if asked:
            self._drawn += UNIT
            self._queries += UNIT
        drawn = self._drawn = self._drawn - propensity
        queries = self._queries = self._queries - rate_high
        mass = self._mass = self._mass + propensity - rate_high
        spare = self._spare = self._spare + propensity - rate_low
        if drawn < self._drawn_low:
            self._drawn_low = drawn
        elif drawn > self._drawn_high:
            self._drawn_high = drawn
        margin = self._burst * UNIT
        if (
            self._drawn_high - self._drawn_low >= 2 * UNIT
            or not -UNIT < drawn < UNIT
            or queries - margin >= self._queries_low
            or mass - margin >= self._mass_low
            or spare + margin <= self._spare_high
        ):
            problem = self._problem(margin)
            if problem is not None:
                self._begin(from_start=False)
                return problem
        if (
            queries + margin < self._queries_low
            or mass + margin < self._mass_low
            or spare - margin > self._spare_high
        ) and not self._carries:
            self._queries_low = min(self._queries_low, queries + margin)
            self._mass_low = min(self._mass_low, mass + margin)
            self._spare_high = max(self._spare_high, spare - margin)
        return None

    def _follow(self, burst: int, rate_low: int, rate_high: int) -> None:
        """Let a higher burst count at once, a lower one when the open block is surely over."""
        if self._burst > 1 and rate_high > self._rate:
            self._carries = True
        self._rate = rate_low
        if burst < self._burst:
            self._drained += rate_low
            if self._drained < self._burst * UNIT:
                return
        elif not self._burst and not self._from_start:
            self._queries_low = self._mass_low = burst * UNIT
            self._spare_high = -burst * UNIT
        self._burst, self._drained = burst, 0

    def _problem(self, margin: int) -> tuple[str, str] | None:
        """Return which bound is broken, the budget's first; None when none is."""
        over = self._queries - margin - self._queries_low
        if over >= 0:
            return "I4", (
                f"queries exceed the sum of `rate` by {over / UNIT:.3f} label(s) more than "
                f"burst {self._burst} allows"
            )
        far = self._drawn_high - self._drawn_low >= 2 * UNIT
        if far or (self._from_start and not -UNIT < self._drawn < UNIT):
            return "propensity", (
                f"queries minus the sum of `propensity` is {self._drawn / UNIT:+.3f} since the "
                "start or the last finding; the gate keeps it within one label"
            )
        high = self._mass - margin >= self._mass_low
        low = self._spare + margin <= self._spare_high and not self._carries
        if high or low:
            off = (self._mass if high else self._spare) / UNIT
            return "propensity", (
                f"the sum of `propensity` minus the sum of `rate` is {off:+.3f} since the start or "
                f"the last finding; burst {self._burst} bounds it"
            )
        return None
