"""`trader data` as a user calls it: real processes, their output and exit codes."""

import gzip
import json

import pytest

from tests.feeds_kit import GOOD, HEADER, ROOT, config_file, csv_text, minutes, trader

pytestmark = pytest.mark.process

BAD_ROW = "2024-03-04T14:34:00Z,1,2,1,2.5,5\n"


def put(folder, content, name="bars.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


FAULTS = [
    ("", 4, "the file is empty"),
    (HEADER, 4, "a header and no rows"),
    (GOOD.replace(",", ";"), 0, "columns separated by ;"),
    (GOOD.replace("volume", "vol"), 0, "'vol' is volume"),
    (GOOD.replace("close", "last_trade"), 4, "missing column 'close'"),
    (GOOD[:-8], 4, "line 5: the last line is cut off"),
    (GOOD + "\0", 4, "line 6: a NUL byte"),
    (csv_text(["2024-03-04T14:30:00"]), 4, "line 2: timestamp '2024-03-04T14:30:00' has no time"),
    (GOOD + BAD_ROW, 4, "line 6: "),
    (GOOD + BAD_ROW.replace("2.5", "nan"), 4, "prices must be finite"),
    ("\ufeff" + GOOD.replace("\n", "\r\n"), 0, ""),
]


@pytest.mark.parametrize(("content", "code", "part"), FAULTS)
def test_file_and_config_give_the_same_verdict(tmp_path, content, code, part):
    path = put(tmp_path, content)
    for arguments in ((path,), ("-c", config_file(path))):
        done = trader("data", "check", *arguments, folder=tmp_path)
        assert done.returncode == code, done.stderr
        assert part in done.stderr
        assert "Traceback" not in done.stderr
        if code:
            assert done.stderr.startswith("error: ")
            assert str(path) in done.stderr


def test_missing_file_is_a_config_error_at_its_place(tmp_path):
    path = tmp_path / "nope.csv"
    done = trader("data", "check", path, folder=tmp_path)
    assert (done.returncode, "nope.csv does not exist" in done.stderr) == (3, True)
    done = trader("data", "check", "-c", config_file(path), folder=tmp_path)
    assert done.returncode == 3
    assert "run.yaml:5:9: feed.path: " in done.stderr


def test_every_failing_class_is_on_screen_and_in_the_message(tmp_path):
    rows = GOOD.splitlines(keepends=True)
    path = put(tmp_path, GOOD + rows[-1] + BAD_ROW + rows[1])
    done = trader("data", "check", path, folder=tmp_path)
    assert done.returncode == 4
    assert "FAILED" in done.stdout
    for kind, line in (("duplicate", 6), ("ohlc", 7), ("disorder", 8)):
        assert f"bars.csv line {line}" in done.stdout
        assert f"feed.quality.{kind}: drop" in done.stderr


def test_json_is_one_document_with_counts_and_gaps(tmp_path):
    put(
        tmp_path, gzip.compress(csv_text([*minutes(30, 33), *minutes(40, 41)]).encode()), "a.csv.gz"
    )
    put(tmp_path, GOOD + BAD_ROW, "b.csv")
    put(tmp_path, "", "c.csv")
    done = trader("data", "check", "a.csv.gz", "b.csv", "c.csv", "--json", folder=tmp_path)
    assert done.returncode == 4
    document = json.loads(done.stdout)
    first, second, third = document["checks"]
    assert document["passed"] is False
    assert (first["passed"], second["passed"], third["passed"]) == (True, False, False)
    assert first["missing_bars"] == 6
    assert first["bar_period_seconds"] == 60.0
    assert first["largest_gaps"][0]["after"] == "2024-03-04T14:33:00Z"
    assert second["classes"]["ohlc"]["count"] == 1
    assert "the file is empty" in third["error"]
    assert "b.csv line 6" in done.stderr
    assert "c.csv: the file is empty" in done.stderr


def test_bundled_example_passes_with_its_gap_alone(tmp_path):
    example = ROOT / "data" / "acme.csv"
    done = trader("data", "check", example, "--market-hours", "XNYS", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (check,) = json.loads(done.stdout)["checks"]
    assert len(check["warnings"]) == 1
    assert check["classes"]["gap"]["count"] == 1


def test_options_say_what_the_file_does_not(tmp_path):
    put(tmp_path, csv_text(["2024-03-04T09:30", "2024-03-04T10:30", "2024-03-05T09:30"]))
    options = ("--timezone", "America/New_York", "--market-hours", "XNYS", "--period", 3600)
    call = ("data", "check", "bars.csv", "--json", *options, "--timestamp", "open")
    done = trader(*call, folder=tmp_path)
    (check,) = json.loads(done.stdout)["checks"]
    assert done.returncode == 0
    assert check["symbols"]["bars"]["first"] == "2024-03-04T15:30:00Z"
    assert check["missing_bars"] == 5


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "give either files or a config"),
        (("bars.csv", "-c", "run.yaml"), "give either files or a config"),
        (("bars.csv", "--market-hours", "XNYX"), "nearest: XNYS"),
        (("bars.csv", "--timezone", "Mars/Base"), "--timezone Mars/Base"),
        (("bars.csv", "--period", "-5"), "--period -5"),
    ],
)
def test_wrong_call_is_a_usage_error(tmp_path, arguments, part):
    put(tmp_path, GOOD)
    done = trader("data", "check", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert part in done.stderr


def test_symbol_picks_one_of_a_panel(tmp_path):
    header, *rows = GOOD.splitlines()
    lines = [header + ",symbol"] + [f"{row},{name}" for row in rows for name in ("A", "BRK.B")]
    put(tmp_path, "\n".join(lines) + "\n")
    done = trader("data", "check", "bars.csv", "--symbol", "BRK.B", "--json", folder=tmp_path)
    assert list(json.loads(done.stdout)["checks"][0]["symbols"]) == ["BRK.B"]
    done = trader("data", "check", "bars.csv", "--symbol", "C", folder=tmp_path)
    assert (done.returncode, "no rows of C; the file has A, BRK.B" in done.stderr) == (4, True)


def test_generate_writes_what_check_passes(tmp_path):
    call = ("data", "generate", "--out", "new/two.csv.gz", "--symbols", "A,B", "--days", 2)
    done = trader(*call, "--seed", 3, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "wrote 1,536 bars of A, B to new/two.csv.gz\n")
    done = trader("data", "check", "new/two.csv.gz", "--market-hours", "XNYS", folder=tmp_path)
    assert done.returncode == 0
    assert "2 symbols" in done.stdout
    done = trader(*call, "--seed", 4, folder=tmp_path)
    assert (done.returncode, "--force" in done.stderr) == (2, True)


def test_real_files_pass_as_they_are(real_data, tmp_path):
    files = sorted(path for path in real_data.iterdir() if "BTCUSD_1m.c" in path.name)
    files.append(real_data / "US24_1m_2019-02-11_15_panel.csv")
    done = trader("data", "check", *files, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [len(check["symbols"]) for check in json.loads(done.stdout)["checks"]] == [1, 24]


def test_bars_outside_trading_hours_are_on_screen(tmp_path):
    path = put(tmp_path, csv_text(["2024-03-04T03:30:00Z", "2024-03-04T14:30:00Z"]))
    done = trader(
        "data", "check", path, "--market-hours", "XNYS", "--period", "60", folder=tmp_path
    )
    assert "1 bars outside the trading hours of XNYS" in done.stdout
    done = trader("data", "check", path, "--period", "60", folder=tmp_path)
    assert "outside the trading hours" not in done.stdout
