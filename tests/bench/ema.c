/* The plain loop that a sweep of double-EMA crosses is measured against: the same signals and the
   same accounting as the config of ema.py, and no limit, no throttle, no record, no digest. */
#include <math.h>

void run(const double *open, const double *close, long rows, int fast, int slow, double cash,
         double fee, double *out) {
  double a = 2.0 / (fast + 1), b = 2.0 / (slow + 1), f = 0, s = 0, qty = 0, peak = cash, deepest = 0;
  double sum = 0, squares = 0, before = cash, equity = cash;
  int wanted = 0;
  for (long i = 0; i < rows; i++) {
    if (wanted != (qty != 0)) {
      double change = wanted ? 1.0 : -qty;
      cash -= change * open[i] + fabs(change) * open[i] * fee;
      qty += change;
    }
    equity = cash + qty * close[i];
    if (equity > peak) peak = equity;
    double fall = (peak - equity) / peak;
    if (fall > deepest) deepest = fall;
    if (i % 1440 == 1439 || i == rows - 1) {
      double r = equity / before - 1.0;
      sum += r;
      squares += r * r;
      before = equity;
    }
    if (i < fast) f += close[i] / fast; /* seeded by a mean, as TA-Lib does */
    else f = a * (close[i] - f) + f;
    if (i < slow) s += close[i] / slow;
    else s = b * (close[i] - s) + s;
    if (i >= slow - 1) wanted = f > s;
  }
  out[0] = equity;
  out[1] = deepest;
  out[2] = sum;
  out[3] = squares;
}
