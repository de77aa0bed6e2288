"""Five libraries, one config: train on pandas features, run each model in backtest and in paper.

    python five_models.py BARS.parquet [--out FOLDER] [--models sklearn,onnx] [--start …] [--end …]

BARS is a file of one-minute bars; the models see hours made of them. Each model learns from the
first 70 % and is run on the rest. A table says what each did, and whether paper gave the digest of
the backtest. PyTorch is left out where it is not installed.
"""

import argparse
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

import trader

HERE = Path(__file__).resolve().parent
SHARE = 0.7
LEAST_MOVE = 0.001
LABELS = {-1: "SELL", 0: "HOLD", 1: "BUY"}


def base_config(bars: Path, start: str | None, end: str | None) -> dict:
    """What all five share."""
    return {
        "name": "five",
        "instruments": [{"symbol": "BTC", "lot_size": 0.01}],
        "feed": {
            "type": "csv" if bars.suffix == ".csv" else "parquet",
            "path": str(bars.resolve()),
            "timezone": "UTC",
            "period_seconds": 60,
            "start": start or "none",
            "end": end or "none",
        },
        "bar_period_seconds": 3600,
        "features": {"mine": {"type": "frame", "target": "my_features:make", "window": 60}},
        "model": {"type": "rule", "buy": "change > 0", "sell": "change < 0"},
        "position_sizing": {"mode": "target", "base_size": 1, "allow_short": True},
        "risk": {
            "max_position_size": 5,
            "max_order_size": 5,
            "min_order_size": 0.01,
            "max_daily_loss": "none",
            "max_position_concentration": "none",
            "market_hours": "24x7",
        },
        "throttle": {
            "max_volume_participation": "none",
            "max_spread_bps": "none",
            "max_volatility": "none",
            "max_order_size": "none",
        },
        "broker": {"cash": 100_000, "commission": {"type": "bps", "value": 10}},
        "execution": {"model_timeout_seconds": 60},
        "report": False,
    }


def learned_from(config: Path) -> tuple[pd.DataFrame, np.ndarray, pd.Timestamp]:
    """Features and labels of the first 70 %, and where the rest begins."""
    matrix = trader.features(config)
    ahead = matrix["change"].shift(-1)  # the next bar's return
    label = np.select([ahead > LEAST_MOVE, ahead < -LEAST_MOVE], [1, -1], 0)
    names = [
        name for name in matrix.columns if name not in ("timestamp", "symbol", "warm", "label")
    ]
    cut = int(len(matrix) * SHARE)
    warm = matrix["warm"].to_numpy()[: cut - 1]  # the last label would look past the cut
    rest = pd.Timestamp(matrix["timestamp"].iloc[cut])
    return matrix[names][: cut - 1][warm], label[: cut - 1][warm], rest


def sklearn_model(features: pd.DataFrame, labels: np.ndarray, folder: Path) -> dict:
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, labels)
    skops.io.dump(model, folder / "model.skops")
    return {"type": "sklearn", "path": "model.skops", "classes": LABELS}


def lightgbm_model(features: pd.DataFrame, labels: np.ndarray, folder: Path) -> dict:
    import lightgbm

    options = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(features, labels + 1)
    lightgbm.train(options, data, 50).save_model(folder / "model.txt")
    return {
        "type": "lightgbm",
        "path": "model.txt",
        "classes": {0: "SELL", 1: "HOLD", 2: "BUY"},
        "threshold": {"buy": 0.4, "sell": 0.4},
    }


def xgboost_model(features: pd.DataFrame, labels: np.ndarray, folder: Path) -> dict:
    import xgboost

    data = xgboost.DMatrix(features, label=(labels > 0).astype(int))
    options = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    xgboost.train(options, data, 50).save_model(folder / "model.ubj")
    return {
        "type": "xgboost",
        "path": "model.ubj",
        "decide": {"buy_above": 0.5, "sell_below": 0.3},
    }


def onnx_model(features: pd.DataFrame, labels: np.ndarray, folder: Path) -> dict:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(20, max_depth=5, random_state=1).fit(features.to_numpy(), labels)
    row = features.to_numpy(np.float32)[:1]
    graph = to_onnx(model, row, options={"zipmap": False})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return {"type": "onnx", "path": "model.onnx", "classes": LABELS, "margin": 0.02}


def torch_model(features: pd.DataFrame, labels: np.ndarray, folder: Path) -> dict:
    import torch

    torch.manual_seed(1)
    rows = torch.tensor(features.to_numpy(np.float32))
    scale = torch.nn.BatchNorm1d(rows.shape[1], affine=False)
    net = torch.nn.Sequential(
        scale, torch.nn.Linear(rows.shape[1], 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(200):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(rows), torch.tensor(labels + 1))
        loss.backward()
        optimiser.step()
    whole = torch.nn.Sequential(net, torch.nn.Softmax(dim=1)).eval()
    if importlib.util.find_spec("onnxscript") is not None:  # PyTorch's own way since 2.9
        any_number = ({0: torch.export.Dim.DYNAMIC},)
        options = {"dynamic_shapes": any_number, "external_data": False, "verbose": False}
    else:
        options = {"dynamic_axes": {"rows": {0: "n"}}, "dynamo": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters
        torch.onnx.export(
            whole, (rows[:4],), str(folder / "model.onnx"), input_names=["rows"], **options
        )
    classes = {0: "SELL", 1: "HOLD", 2: "BUY"}
    return {"type": "onnx", "path": "model.onnx", "classes": classes}


MODELS: dict[str, Callable[[pd.DataFrame, np.ndarray, Path], dict]] = {
    "sklearn": sklearn_model,
    "lightgbm": lightgbm_model,
    "xgboost": xgboost_model,
    "onnx": onnx_model,
    "torch": torch_model,
}


def paper_digest(config: Path, out: Path) -> str:
    """The digest of `trader paper` on the same bars."""
    words = [sys.executable, "-m", "trader", "paper", "-c", str(config), "--pace", "max"]
    done = subprocess.run(
        [*words, "--out", str(out)], capture_output=True, text=True, cwd=config.parent, check=False
    )
    if done.returncode:
        raise SystemExit(f"paper ended with {done.returncode}: {done.stderr}")
    run = max(out.glob("*-paper-*"))
    return json.loads((run / "manifest.json").read_text())["digest"]


def run_model(name: str, config: dict, learned: tuple, folder: Path) -> dict:
    """Train one model, run it twice, and say what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "my_features.py", folder)
    features, labels, rest = learned
    section = MODELS[name](features, labels, folder)
    path = folder / section["path"]
    section |= {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    feed = config["feed"] | {"start": rest.isoformat()}
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(config | {"name": name, "feed": feed, "model": section}))
    run = trader.backtest(file)
    counts = run.decisions["action"].value_counts()
    return {
        "model": name,
        "bars": len(run.equity),
        "buy": int(counts.get("BUY", 0)),
        "sell": int(counts.get("SELL", 0)),
        "fills": len(run.fills),
        "equity": round(float(run.equity["equity"].iloc[-1])),
        "digest": run.digest[:12],
        "paper is the same": paper_digest(file, folder / "runs") == run.digest,
    }


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bars", type=Path)
    parser.add_argument("--out", type=Path, default=Path("five-models"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--start")
    parser.add_argument("--end")
    asked = parser.parse_args()
    out = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "my_features.py", out)
    config = base_config(asked.bars, asked.start, asked.end)
    (out / "base.yaml").write_text(yaml.safe_dump(config))
    learned = learned_from(out / "base.yaml")
    names = asked.models.split(",")
    if "torch" in names and importlib.util.find_spec("torch") is None:
        print("torch is not installed: left out", file=sys.stderr)
        names.remove("torch")
    table = pd.DataFrame([run_model(name, config, learned, out / name) for name in names])
    print(table.to_string(index=False))
    if not table["paper is the same"].all():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
