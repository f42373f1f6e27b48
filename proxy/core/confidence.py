"""
How often two sides may differ at most, given what was compared: a bound instead of a bare percentage.

Ground floor. The one-sided bound of Clopper and Pearson (1934): of all shares of differing answers that are compatible
with the comparisons, at a confidence of 95 %, the largest. The incomplete beta function is that of DLMF 8.17.
"""

from __future__ import annotations

from math import exp, expm1, inf, lgamma, log, log1p

CONFIDENCE = 0.95
_STEPS = 200  # of a bisection: more than a double has bits
_ENOUGH = 1e-15
_TINY = 1e-300


def upper_bound(mismatched: int, compared: int, confidence: float = CONFIDENCE) -> float:
    """
    Return the share (0 to 1) of answers that differ at most, for `mismatched` of `compared` independent ones.

    Nothing compared says nothing: 1. None of 2,995 is below 0.1 %, none of 29,956 below 0.01 %.
    """
    if not 0 <= mismatched <= compared:
        raise ValueError(f"{mismatched} of {compared} cannot have differed")
    if mismatched == compared:
        return 1.0
    doubt = 1 - confidence
    if mismatched == 0:
        return -expm1(log(doubt) / compared)
    low, high = mismatched / compared, 1.0
    for _ in range(_STEPS):
        share = (low + high) / 2
        if share in (low, high):
            break
        if at_most(mismatched, compared, share) > doubt:
            low = share
        else:
            high = share
    return high


def at_most(mismatched: int, compared: int, share: float) -> float:
    """Return the probability of no more than `mismatched` of `compared`, if each differs with probability `share`."""
    if mismatched >= compared or share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    return _incomplete_beta(compared - mismatched, mismatched + 1, 1 - share, share)


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return I_x(a, b); `rest` is 1 - x. By the fraction of DLMF 8.17.22, on the side where it converges fast."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, rest, x)
    log_front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * _log(x, rest) + b * _log(rest, x)
    return exp(log_front) * _fraction(a, b, x) / a


def _log(x: float, rest: float) -> float:
    return -inf if x <= 0 else log1p(-rest) if rest < 0.5 else log(x)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction, from its beginning (Lentz, as modified by Thompson and Barnett)."""
    c, d = 1.0, 1 / _not_0(1 - (a + b) * x / (a + 1))
    value = d
    m = 0
    while True:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _not_0(1 + even * d), _not_0(1 + even / c)
        value *= c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _not_0(1 + odd * d), _not_0(1 + odd / c)
        value *= c * d
        if abs(c * d - 1) < _ENOUGH or m > 100_000:
            return value


def _not_0(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
