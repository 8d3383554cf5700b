"""Student's t without scipy. The words are tested where the book's claims are."""

import numpy as np
import pytest

from fvlib.decisions import Comparison, Difference, decide_all, quantiles


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.975, 0.99375, 0.9995])
def test_quantiles_of_student(share):
    stats = pytest.importorskip("scipy.stats")
    df = np.array([1, 1.3, 2, 2.7, 5, 10, 100, 1234.5, 9e4, 1e5, 3e7, 1e12])
    assert quantiles(share, df) == pytest.approx(stats.t.ppf(share, df), rel=1e-9, abs=1e-15)
    assert float(quantiles(share, np.inf)) == pytest.approx(stats.norm.ppf(share), abs=1e-15)


def test_quantiles_by_hand():
    """One degree is Cauchy's: tan(pi (p - 1/2)); two are (2p - 1) / sqrt(2 p (1 - p))."""
    assert float(quantiles(0.975, 1.0)) == pytest.approx(np.tan(np.pi * 0.475), rel=1e-13)
    assert float(quantiles(0.95, 2.0)) == pytest.approx(0.9 / (2 * 0.95 * 0.05) ** 0.5, rel=1e-13)
    for share, df in ((0.4, 3.0), (1.0, 3.0), (0.9, 0.5)):
        with pytest.raises(ValueError, match="and df from 1 on"):
            quantiles(share, df)


def test_the_surest_is_looked_at_with_the_level_shared_by_all():
    """2.1 standard errors pass alone, and beside a surer one; two of them share the level."""
    sure, less = (Difference(mean, 1.0, 100.0) for mean in (5.0, 2.1))
    words = [d.word for d in decide_all([Comparison("greater", one) for one in (less, sure)])]
    assert words == ["supported", "supported"]
    words = [d.word for d in decide_all([Comparison("greater", one) for one in (less, less)])]
    assert words == ["undecided", "undecided"]
