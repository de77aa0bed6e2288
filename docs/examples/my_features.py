"""Features as they come out of a notebook: bars in, columns out."""

import pandas as pd


def make(df: pd.DataFrame) -> pd.DataFrame:
    out = pd.DataFrame(index=df.index)
    change = df["close"].pct_change()
    out["change"] = change
    out["momentum"] = df["close"].pct_change(12)
    out["stretch"] = df["close"] / df["close"].rolling(24).mean() - 1
    out["risk"] = change.rolling(24).std()
    out["range"] = ((df["high"] - df["low"]) / df["close"]).rolling(6).mean()
    return out
