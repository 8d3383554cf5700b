"""The paper's numbers and claims beside the runs, and what can be said of each claim.

The rule:

- Each comparison of a claim is a *part* and gets a word of its own. d = a − b is the difference,
  paired by clip and seed, and δ the smallest one that would matter: for an order of accuracies half
  of the printed difference as a share of b's printed error, at least 10 %, times b's error as
  measured here; for the other kinds 10 % of b's error; for a gain against a gain as stated in
  `paper.toml`; 0 for a threshold of ours, beside which stand the thresholds with the same word.
- The words are those of `fvlib.decisions`. "(below δ)" beside a greater or smaller one says that
  its 90 % interval lies inside ±δ too: real, and too small to matter. Beside *undecided* stands
  the smallest difference that this experiment sees with 80 % power. *Not tested* comes with the
  reason, and what would test it.
- Intervals are over seeds and clips: a bootstrap, and a two-way random-effects interval; the wider
  of 95 % decides. The intervals that are shown are of 95 %; for *supported* and *contradicted* the
  level is shared among the parts of a claim by Holm's method, in each direction. *No difference*
  and "(below δ)" are of the plain 90 %. δ is made of measured errors and counts as known.
- A word on trained networks other than *undecided* needs five seeds. Mathematics, counts and times
  of code need none: they are compared as they are.
- Ratios are compared by their logarithms. A clip that has no score in one of the compared rows or
  seeds is left out of that comparison in all of them, and the table says how many.
- What was measured on a set that stands for a benchmark is not the claim: that part is *not
  tested*, and the word of the stand-in is shown beside it as *mechanism*.
- The text's protocol (`clustered`: all frames, clusters at test too) gives the headline; that of
  the released code (`sampled`) is judged by the same rule and stands beside it.
- Whether a word is confirmatory or exploratory is read from the history (`lab.claims.history`).
"""

from lab.claims.evidence import gain, paired, right
from lab.claims.history import Provenance, provenance, write_provenance
from lab.claims.intervals import (
    Difference,
    bootstrap,
    components,
    difference_of_gains,
    differences,
    paired_difference,
    two_way,
)
from lab.claims.paper import Claim, load, paper_table
from lab.claims.power import Sight, Variances, power, variances
from lab.claims.rule import (
    CONTRADICTED,
    NO_DIFFERENCE,
    NOT_TESTED,
    RULE,
    SUPPORTED,
    UNDECIDED,
    WORDS,
    Comparison,
    decide,
    decide_all,
)
from lab.claims.tables import (
    count,
    first_tests,
    overview,
    staleness,
    summary,
    table,
    table_of_power,
)
from lab.claims.verdict import MECHANISM, Verdict, judge, judge_all
