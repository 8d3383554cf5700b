"""The paper's numbers and claims beside the runs, and the verdict on each claim.

The rule, fixed before the runs were made:

- A verdict is one of four words: "holds", "same direction", "does not hold", "not tested". It
  names the scale and the data it speaks of; only scale `paper` speaks of the paper's own numbers.
- The primary protocol is `clustered`: all frames, clusters at test too, as the text says. What the
  released code does, `sampled`, is judged by the same rule and stands beside it.
- Accuracies are compared clip by clip between runs of the same seed. The 95 % interval of a
  difference comes from a bootstrap that draws seeds with replacement and, for all drawn seeds
  together, clips with replacement: each seed is tested on the same clips, so a clip that is hard
  for one is hard for all and does not average out.
- With five seeds or more, a claim holds when the whole interval lies on the claimed side: above 0
  for "greater"; at most the margin for "no_better"; within the margin on both sides for "equal".
  When the whole interval lies on the other side it does not hold. When the interval lies on both
  sides the difference itself decides between "same direction" and "does not hold".
- With fewer than five seeds the best word is "same direction".
- Other quantities are compared in the same way, by one score a clip that the records hold: of two
  rows, or of two methods that stand side by side in the records of one row.
- One row or method is compared with a fixed number by the same words, with the interval of its mean
  in place of that of a difference: above the number for "greater", and so on.
- The gain of one row over another is compared with the gain of two rows on other clips ("gain", in
  `experiment` and in `other`) in the same way; the two sets of clips are drawn independently.
- A clip that has no score in one of the compared rows or seeds (the correlation with distances that
  are all the same, say) is left out of that comparison in all of them, and the table says how many.
  Where no clip is left the claim is "not tested".
- A claim of several comparisons is as good as its worst one. All of them have to hold at once, so
  testing several needs no correction.
- What does not depend on a seed (multiply-adds, memory by counting, a law of the code) is compared
  as it is: "number" within its relative tolerance of the paper's number, "less", or "fact".
- A claim without a record, or without what its chapter computes, is "not tested"; the reason says
  which record. A claim that does not hold is a result like any other and fails nothing.

Explained in chapter 00_start_here.
"""

from lab.claims.gains import gain, paired, right
from lab.claims.paper import Claim, load, paper_table
from lab.claims.rule import (
    DOES_NOT_HOLD,
    HOLDS,
    NOT_TESTED,
    SAME_DIRECTION,
    WORDS,
    Difference,
    decide,
    difference_of_gains,
    paired_difference,
)
from lab.claims.verdict import Verdict, judge, judge_all, overview, summary, table

__all__ = [
    "DOES_NOT_HOLD",
    "HOLDS",
    "NOT_TESTED",
    "SAME_DIRECTION",
    "WORDS",
    "Claim",
    "Difference",
    "Verdict",
    "decide",
    "difference_of_gains",
    "gain",
    "judge",
    "judge_all",
    "load",
    "overview",
    "paired",
    "paired_difference",
    "paper_table",
    "right",
    "summary",
    "table",
]
