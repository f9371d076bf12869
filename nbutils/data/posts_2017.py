"""What was measured on the 340 animations of the 2017 posts: facts for whoever asks what they show.

A line for each row of animations of a post, means over its animations. Measured by us on the files in the
repository of the blog (https://github.com/cooijmanstim/cooijmanstim.github.io, assets/images); none of the
pictures is kept here.

- `change`: how far a variable of the 32 x 32 hole moves from one frame to the next, mean of the last four
  changes (frames held at the end left out), levels; `change_outside`: the same outside the hole, where
  nothing but the palette and dither of the GIF can change, the control.
- `extremes`: the share of levels up to 10 or from 245 on in the hole at the end (a palette blurs 0 and 255);
  `extremes_outside`: outside it, where the photograph is, the control.
- `..._deviation`: the standard deviation, between animations, of the first minus its control.
- `written`: when the row was begun, from the names of its files. `loss` is in the names too but for the first
  post, which speaks of 256 categories and whose successor speaks of leaving cross-entropy.
"""

import csv
import math
from datetime import datetime

_ROWS = """\
post,loss,written,strategy,T,alpha_min,eta,animations,\
change,change_outside,change_deviation,extremes,extremes_outside,extremes_deviation
2017-04-02,cross_entropy,,gibbs,1.0,,,20,28.561,2.915,3.8498,0.09602,0.08496,0.124967
2017-04-09,emd1,2017-04-09T01:13:12,greedy,1.0,,,20,4.79,1.835,1.2375,0.02086,0.08198,0.106572
2017-04-09,emd1,2017-04-09T03:19:25,antigreedy,1.0,,,20,5.787,2.192,0.9664,0.00393,0.07137,0.074592
2017-04-09,emd1,2017-04-09T05:25:22,orderless,1.0,,,20,6.072,2.158,1.2993,0.00578,0.07404,0.079766
2017-04-09,emd1,2017-04-09T18:55:11,gibbs,1.0,,,20,5.769,2.569,0.9978,0.02308,0.06071,0.050397
2017-04-12,emd2,2017-04-12T15:56:50,gibbs,1.0,,,20,20.145,2.87,3.4108,0.00383,0.07276,0.078666
2017-04-12,emd2,2017-04-12T17:31:26,orderless,1.0,,,20,8.137,2.386,0.7234,0.0021,0.06968,0.066137
2017-04-12,emd2,2017-04-12T19:07:03,greedy,1.0,,,20,5.931,1.88,0.6542,0.22162,0.07425,0.138162
2017-04-12,emd2,2017-04-12T21:30:12,antigreedy,1.0,,,20,7.784,2.36,0.505,0.00103,0.07398,0.081614
2017-04-19,emd2,2017-04-19T15:55:25,gibbs,1.0,,,20,47.294,2.993,4.7133,0.01598,0.05461,0.050202
2017-04-19,emd2,2017-04-19T18:14:27,orderless,1.0,,,20,7.842,2.357,1.1322,0.02083,0.06389,0.056183
2017-04-19,emd2,2017-04-19T20:34:08,greedy,1.0,,,20,6.181,1.999,1.2055,0.10372,0.05652,0.0793
2017-04-19,emd2,2017-04-19T23:39:53,antigreedy,1.0,,,20,7.66,2.343,1.2512,0.02007,0.05837,0.052306
2017-04-23,emd2,2017-04-22T16:10:26,gibbs,0.99,,,5,45.926,2.735,3.8006,0.04766,0.07104,0.053123
2017-04-23,emd2,2017-04-22T21:59:21,gibbs,0.9,,,5,39.534,2.824,6.6863,0.05228,0.06648,0.042174
2017-04-23,emd2,2017-04-23T03:47:09,gibbs,0.1,,,5,11.014,2.435,2.401,0.10012,0.065,0.084039
2017-04-23,emd2,2017-04-26T05:47:24,gibbs,0.0,,,5,5.546,1.801,4.6375,0.11004,0.05638,0.085639
2017-04-23,emd2,2017-04-27T06:17:38,gibbs,1.0,0.1,0.1,5,43.74,3.45,2.8192,0.03014,0.12768,0.101792
2017-04-23,emd2,2017-04-27T07:33:14,gibbs,1.0,0.1,0.001,5,42.782,3.503,3.7128,0.0257,0.12866,0.098723
2017-04-23,emd2,2017-04-27T08:48:21,gibbs,1.0,0.001,0.1,5,44.396,3.53,4.6631,0.06114,0.13266,0.097655
2017-04-23,emd2,2017-04-27T10:03:36,gibbs,1.0,0.001,0.001,5,48.262,3.525,6.9364,0.02938,0.1264,0.099867
2017-04-23,emd2,2017-04-27T11:19:26,gibbs,1.0,1e-05,0.1,5,45.356,3.492,5.7302,0.04914,0.12968,0.081575
2017-04-23,emd2,2017-04-27T12:34:30,gibbs,1.0,1e-05,0.001,5,45.714,3.504,5.8988,0.05196,0.13608,0.101508
2017-04-23,emd2,2017-04-27T13:50:07,gibbs,0.1,0.1,0.1,5,12.428,2.933,4.9218,0.04856,0.12902,0.091716
2017-04-23,emd2,2017-04-27T19:40:31,gibbs,0.1,0.1,0.001,5,10.43,2.929,3.5024,0.01784,0.11844,0.084612
2017-04-23,emd2,2017-04-28T12:08:57,gibbs,0.1,0.001,0.1,5,13.974,3.139,2.4797,0.16704,0.12226,0.094313
2017-04-23,emd2,2017-04-28T15:05:48,gibbs,0.1,0.001,0.001,5,13.964,3.084,2.5795,0.12798,0.12702,0.090362
2017-04-23,emd2,2017-04-28T18:01:29,gibbs,0.1,1e-05,0.1,5,10.044,3.055,1.3426,0.18912,0.12382,0.065598
2017-04-23,emd2,2017-04-28T20:58:28,gibbs,0.1,1e-05,0.001,5,11.08,3.037,1.8239,0.19152,0.13074,0.13371
"""


def rows(**wanted):
    """The rows of animations of which these columns have these values, list of dicts in order of time.

    Numbers are floats, NaN where a row has none; `animations` is how many there are; `written` a datetime,
    None of the first post.
    """
    found = [_typed(row) for row in csv.DictReader(_ROWS.splitlines())]
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def _typed(row):
    texts = {name: row[name] for name in ("post", "loss", "strategy")}
    written = datetime.fromisoformat(row["written"]) if row["written"] else None
    numbers = {name: float(value or "nan") for name, value in row.items() if name not in (*texts, "written")}
    return texts | numbers | {"animations": int(row["animations"]), "written": written}


def beyond(rows, name):
    """What a column has beyond its control, over all animations of some rows: (mean, standard deviation
    between animations, their number).

    Args:
        rows: some of `rows`; name: "change" or "extremes".
    """
    count = sum(row["animations"] for row in rows)
    means = [row[name] - row[f"{name}_outside"] for row in rows]
    mean = sum(row["animations"] * own for row, own in zip(rows, means)) / count
    within = sum((row["animations"] - 1) * row[f"{name}_deviation"] ** 2 for row in rows)
    between = sum(row["animations"] * (own - mean) ** 2 for row, own in zip(rows, means))
    return mean, math.sqrt((within + between) / (count - 1)), count
