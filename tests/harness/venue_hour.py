"""An hour of one-second bars in real time, from each loopback exchange with its faults by seed.

    python tests/harness/venue_hour.py [--seconds 3600] [--venues binance,kraken,alpaca]
                                       [--seed N] [--out FOLDER]

Each venue is a program, each `trader paper` another. All but Alpaca end each line after five
minutes (`--life`), as Binance does after a day. When the time is over the runs are stopped
and what they recorded is compared with what the venue says was true. Exit 1 where it differs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.harness.venue_figures import figures  # noqa: E402
from tests.venue import alpaca, binance, bybit, kraken, okx  # noqa: E402
from tests.venue.kit import ask, write_config  # noqa: E402
from tests.venue.server import many  # noqa: E402

CONTRACTS = "BTC/USDT, ETH/USDT, 'BTC/USDT:USDT', 'ETH/USDT:USDT'"
VENUES = {
    "binance": (binance.options, "BTC/USDT, ETH/USDT", ("BTCUSDT", "ETHUSDT")),
    "kraken": (kraken.options, "BTC/USD, ETH/USD", ("BTC/USD", "ETH/USD")),
    "alpaca": (alpaca.options, "AAPL, MSFT", ("AAPL", "MSFT")),
    "bybit": (bybit.options, CONTRACTS, bybit.MARKETS),
    "okx": (okx.options, CONTRACTS, okx.MARKETS),
}
LIFE_S = 300.0  # of a line
AHEAD = 2 / 3  # of it before its end the next one is made
# Alpaca streams minutes; here a second counts as its minute
START = (
    "from trader.feeds.alpaca_source import AlpacaSource as A; A.streamed_s = 1; "
    "import sys; from trader.__main__ import main; sys.exit(main())"
)
SHORT_LIVES = (
    "from trader.feeds import ccxt_source as C; "
    "C.LIVES_S.update(dict.fromkeys(('binance', 'kraken', 'bybit', 'okx'), {life_s})); "
    "C.AHEAD_S = {ahead_s}; "
)
KEYS = {"ALPACA_KEY": "key-id", "ALPACA_SECRET": "key-secret"}
SAMPLE_S = 10.0


def resident_mb(pid):
    """Memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def spent(name, told, folder):
    """One venue and one run beside it, for that long; what was seen goes into `folder`."""
    options, symbols, names = VENUES[name]
    seconds, seed = told.seconds, told.seed
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", f"tests.venue.{name}", "--seed", str(seed),
               "--period", str(told.period)]  # fmt: skip
    start = START
    if told.symbols:
        names = many(told.symbols)
        symbols = ", ".join(name.replace("USDT", "/USDT") for name in names)
        command += ["--symbols", str(told.symbols)]
    else:
        command += ["--faults-for", str(seconds)]
        if name != "alpaca":
            command += ["--life", str(told.life)]
            start = SHORT_LIVES.format(life_s=told.life, ahead_s=told.life * AHEAD) + START
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as venue:
        port = json.loads(venue.stdout.readline())["port"]
        kind = {"period": told.period, **({} if name != "alpaca" else {"type": "alpaca"})}
        exchange = "none" if name == "alpaca" else name
        write_config(folder, options(port), symbols=symbols, exchange=exchange, **kind)
        environ = {**os.environ, **KEYS, "PYTHONPATH": str(ROOT),
                   "TRADER_HOME": str(folder / "home")}  # fmt: skip
        run = [sys.executable, "-c", start, "paper", "-c", "live.yaml", "--json"]
        with (folder / "out.jsonl").open("wb") as out, (folder / "err.txt").open("wb") as err:
            paper = subprocess.Popen(run, cwd=folder, env=environ, stdout=out, stderr=err)
        memory, until_s = [], time.monotonic() + seconds
        while time.monotonic() < until_s and paper.poll() is None:
            memory.append([round(time.time()), resident_mb(paper.pid)])
            time.sleep(min(SAMPLE_S, max(until_s - time.monotonic(), 0.0)))
        if paper.poll() is None:
            paper.send_signal(signal.SIGINT)
        code = paper.wait(120)
        now_s = int(time.time())
        began_s = now_s - int(seconds) - 600 * told.period
        true = [ask(port, f"/_truth?symbol={one}&start={began_s}&end={now_s}") for one in names]
        seen = {"venue": name, "seed": seed, "names": names, "period_s": told.period,
                 "code": code, "memory": memory, "truth": true,
                "faults": ask(port, "/_log"), "counts": ask(port, "/_counts")}  # fmt: skip
        (folder / "seen.json").write_text(json.dumps(seen))
        venue.stdin.close()
        venue.wait(30)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--venues", default="binance,kraken,alpaca", help="or bybit, okx")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--figures-only", action="store_true", help="of an --out that is there")
    parser.add_argument("--symbols", type=int, default=0, help="of Binance, without faults")
    parser.add_argument("--life", type=float, default=LIFE_S, help="seconds of a line")
    parser.add_argument("--period", type=int, default=1, help="seconds of a bar")
    told = parser.parse_args()
    out = told.out or Path(tempfile.mkdtemp(prefix="venue_hour_"))
    names = told.venues.split(",")
    print(f"seed {told.seed}, in {out}", flush=True)
    if not told.figures_only:
        threads = [threading.Thread(target=spent, args=(name, told, out / name)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    faults = 0
    for name in names:
        found, wrong = figures(out / name)
        print(json.dumps(found), flush=True)
        for line in wrong:
            print(f"WRONG {name}: {line}")
        faults += len(wrong)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
