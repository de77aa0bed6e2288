"""`make bench`: models in files against their libraries' own batch predict, and one row in paper.

    a history     1M rows × 10 features: through the model's process, against the bare predict of
                  the same library (probabilities, one thread, whole array) plus a rule
    one row       p99 of a question of one row, without the hop to the process

Law: both sides of a ratio are measured in turn, in one process, best of three. Exit code 1 if a
target is missed.
"""

import hashlib
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # what is bare has one thread, too
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.run import best_of, hardware, missed, say  # noqa: E402

ROWS = int(os.environ.get("TRADER_BENCH_ROWS", "1000000"))
WIDTH, LEARNED, ASKED = 10, 5_000, 2_000
NAMES = tuple(f"f{column}" for column in range(WIDTH))


def made(folder: Path):
    """(name, section, bare predict of a matrix) of each library."""
    import lightgbm
    import onnxruntime
    import pandas as pd
    import xgboost
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from trader.models.skops_file import dump_skops

    chance = np.random.default_rng(1)
    rows = chance.normal(size=(LEARNED, WIDTH))
    labels = np.digitize(rows[:, 0] + 0.5 * rows[:, 1], [-0.5, 0.5])
    frame = pd.DataFrame(rows, columns=list(NAMES))

    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, labels)
    (folder / "m.skops").write_bytes(dump_skops(pipeline))
    yield (
        "logistic regression pipeline",
        ("sklearn", "m.skops"),
        lambda x: pipeline.predict_proba(pd.DataFrame(x, columns=list(NAMES), copy=False)),
    )

    options = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(frame, labels), 34)
    booster.save_model(folder / "m.txt")
    yield "LightGBM, 102 trees", ("lightgbm", "m.txt"), lambda x: booster.predict(x, num_threads=1)

    tree = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "nthread": 1, "max_depth": 5},
        xgboost.DMatrix(frame, label=labels),
        34,
    )
    tree.save_model(folder / "m.ubj")
    yield (
        "XGBoost, 102 trees",
        ("xgboost", "m.ubj"),
        lambda x: tree.inplace_predict(x, validate_features=False),
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = MLPClassifier((32,), max_iter=20, random_state=1).fit(rows, labels)
        graph = to_onnx(net, rows[:1].astype(np.float32), options={"zipmap": False})
    (folder / "m.onnx").write_bytes(graph.SerializeToString())
    own = onnxruntime.SessionOptions()
    own.intra_op_num_threads = own.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), own, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    yield (
        "ONNX network of 32",
        ("onnx", "m.onnx"),
        lambda x: session.run([session.get_outputs()[1].name], {name: x.astype(np.float32)}),
    )


def rule_seconds(bars: np.ndarray, matrix: np.ndarray) -> float:
    """A rule over the same matrix."""
    from tests.model_kit import make_model
    from trader.models.model import predict_actions

    rule = make_model({"type": "rule", "buy": "f0 > 0.5", "sell": "f0 < -0.5"}, NAMES)
    return best_of(3, lambda: predict_actions(rule, bars, matrix))


def bench(folder: Path) -> None:
    """One line for a history and one for a row, of each library."""
    from tests.model_kit import make_bars, make_config
    from trader.models.file_model import FileModel
    from trader.models.model import open_model, predict_actions

    bars = make_bars(ROWS)
    matrix = np.asfortranarray(np.random.default_rng(2).normal(size=(ROWS, WIDTH)))
    rule_s = rule_seconds(bars, matrix)
    for name, (kind, file), bare in made(folder):
        path = folder / file
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        section = {"type": kind, "path": str(path), "sha256": sha256}
        config = make_config({**section, "classes": {0: "SELL", 1: "HOLD", 2: "BUY"}})
        model = open_model(config, NAMES, config.symbols)
        predict_actions(model, bars[:1_000], matrix[:1_000])
        plain = np.ascontiguousarray(matrix)
        bare_s = best_of(3, lambda bare=bare, plain=plain: bare(plain))
        ours_s = best_of(3, lambda model=model: predict_actions(model, bars, matrix))
        ratio = ours_s / (bare_s + rule_s)
        told = f"{ours_s * 1e3:.0f} ms; bare {bare_s * 1e3:.0f} ms = {ratio:.2f} ×"
        say(f"{name}, {ROWS:,} rows", told, "≤ 1.2 × (bare + rule)", ratio <= 1.2)
        model.close()
        alone = FileModel(config, NAMES, config.symbols)
        alone.predict(bars[:32], plain[:32])
        times = []
        for row in range(ASKED):
            began = time.perf_counter()
            alone.predict(bars[row : row + 1], plain[row : row + 1])
            times.append(time.perf_counter() - began)
        middle, worst = np.percentile(times, [50, 99]) * 1e3
        say("  one row", f"{middle:.2f} ms, p99 {worst:.2f} ms", "p99 ≤ 1 ms", worst <= 1.0)


def main() -> None:
    print(hardware())
    with tempfile.TemporaryDirectory() as folder:
        bench(Path(folder))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
