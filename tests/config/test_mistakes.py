"""One mistake in a config file: place, key, rule and value of each are in the message."""

import pytest

from tests.config_demo import demo, load, write
from trader.errors import ConfigError

MISTAKES = [  # name, (text, its replacement), place, key, rule, what else the message holds
    ("unknown", ("min_order_size: 1", "min_order_sise: 1"), "21:3", "risk.min_order_sise",
     "unknown key in risk", "got '1'; did you mean min_order_size?"),
    ("unknown_top", ("hooks: []", "max_spread_bps: 3\nhooks: []"), "37:1", "max_spread_bps",
     "unknown key in the config", "did you mean throttle.max_spread_bps?"),
    ("unknown_case", ("name: demo", "name: demo\nSeed: 3"), "2:1", "Seed", "unknown key",
     "did you mean seed?"),
    ("unknown_in_list", ("lot_size: 1}", "lot_sise: 1}"), "3:37", "instruments.0.lot_sise",
     "unknown key", "did you mean lot_size?"),
    ("unknown_in_model", ("  buy:", "  path: x\n  buy:"), "15:3", "model.path", "unknown key",
     "got 'x'"),
    ("duplicate", ("hooks: []", "hooks: []\nhooks: []"), "38:1", "hooks", "duplicate key",
     "run.yaml:37:1"),
    ("duplicate_flow", ("value: 1.0}", "value: 1.0, value: 2}"), "34:39",
     "broker.commission.value", "duplicate key", "34:27"),
    ("missing_limit", ("  max_daily_loss: 1000\n", ""), "18:1", "risk.max_daily_loss",
     "required and missing", "write none"),
    ("missing_plain", ("  market_hours: 24x7\n", ""), "18:1", "risk.market_hours",
     "required and missing", "24x7"),
    ("missing_section", ("name: demo\n", ""), "1:1", "name", "required and missing", "run"),
    ("model_without_type", ("  type: rule\n", ""), "13:1", "model.type", "required", "sklearn"),
    ("model_of_no_type", ("type: rule", "type: rul"), "14:9", "model.type", "must be rule, python",
     "got 'rul'; did you mean rule?"),
    ("word", ("type: csv", "type: cvs"), "5:9", "feed.type", "must be csv, parquet, stdin, ",
     "did you mean csv?"),
    ("nan", ("cash: 100000", "cash: .nan"), "33:9", "broker.cash", "finite number", "'.nan'"),
    ("inf", ("max_daily_loss: 1000", "max_daily_loss: .inf"), "22:19", "risk.max_daily_loss",
     "finite number, or none", "got '.inf'"),
    ("overflow", ("cash: 100000", "cash: 1e400"), "33:9", "broker.cash", "finite", "'1e400'"),
    ("nan_param", ("period: 10", "period: .NaN"), "11:33", "features.sma_fast.period", "finite",
     "'.NaN'"),
    ("hex", ("cash: 100000", "cash: 0x10"), "33:9", "broker.cash", "plain decimal", "'0x10'"),
    ("underscore", ("cash: 100000", "cash: 100_000"), "33:9", "broker.cash", "plain decimal",
     "'100_000'"),
    ("sexagesimal", ("cash: 100000", "cash: 16:00"), "33:9", "broker.cash", "plain", "'16:00'"),
    ("null", ("max_daily_loss: 1000", "max_daily_loss: ~"), "22:19", "risk.max_daily_loss",
     "number, such as 10, 0.5 or 1e5, or none", "got '~'"),
    ("empty_value", ("max_daily_loss: 1000", "max_daily_loss:"), "22:18", "risk.max_daily_loss",
     "or none", "got nothing"),
    ("none_refused", ("cash: 100000", "cash: none"), "33:9", "broker.cash", "number", "'none'"),
    ("hours_none", ("market_hours: 24x7", "market_hours: none"), "24:17", "risk.market_hours",
     "must be 24x7, or an exchange calendar", "got 'none'"),
    ("boolean", ("allow_short: false", "allow_short: no"), "17:62", "position_sizing.allow_short",
     "must be true or false", "got 'no'"),
    ("whole", ("volume_window: 20", "volume_window: 2.5"), "27:18", "throttle.volume_window",
     "whole number", "'2.5'"),
    ("below", ("volume_window: 20", "volume_window: 1"), "27:18", "throttle.volume_window",
     "must not be less than 2", "got '1'"),
    ("negative", ("max_order_size: 500", "max_order_size: -5"), "20:19", "risk.max_order_size",
     "must not be less than 0", "got '-5'"),
    ("zero", ("cash: 100000", "cash: 0"), "33:9", "broker.cash", "greater than 0", "got '0'"),
    ("above", ("participation: 0.1", "participation: 10"), "26:29",
     "throttle.max_volume_participation", "must not be greater than 1", "got '10'"),
    ("list_wanted", ("hooks: []", "hooks: my:hook"), "37:8", "hooks", "must be a list",
     "got 'my:hook'"),
    ("mapping_wanted", ("execution: {feature_max_workers: 4, model_timeout_seconds: 1.0}",
     "execution: 4"), "36:12", "execution", "must be a mapping of keys", "got '4'"),
    ("scalar_wanted", ("cash: 100000", "cash: [1]"), "33:9", "broker.cash", "number", "a list"),
    ("empty_section", ("hooks: []", "kill:"), "37:6", "kill", "is empty", "take the line out"),
    ("no_instrument", ("\n  - {symbol: ACME, tick_size: 0.01, lot_size: 1}", " []"), "2:14",
     "instruments", "at least one element", "got a list"),
    ("zone", ("timezone: UTC", "timezone: Mars/Base"), "8:13", "feed.timezone", "IANA time zone",
     "'Mars/Base'"),
    ("time", ("timezone: UTC", "start: 1st of May"), "8:10", "feed.start", "ISO date or time",
     "'1st of May'"),
    ("file_name", ("name: demo", "name: a/b"), "1:7", "name", "it names files", "'a/b'"),
    ("target", ("hooks: []", "hooks: [nonsense]"), "37:9", "hooks.0.target", "module:name",
     "'nonsense'"),
    ("hook_event", ("hooks: []", "hooks: [{event: bars, target: 'm:f'}]"), "37:17",
     "hooks.0.event", "must be trading_started", "did you mean bar?"),
    ("anchor_key", ("hooks: []", "audit: {anchor: {command: [x], comands: y}}"), "37:32",
     "audit.anchor.comands", "unknown key in audit.anchor", "did you mean command?"),
    ("anchor_empty", ("hooks: []", "audit: {anchor: {command: []}}"), "37:27",
     "audit.anchor.command", "at least one element", "got a list"),
    ("anchor_text", ("hooks: []", "audit: {anchor: {command: logger -t x}}"), "37:27",
     "audit.anchor.command", "must be a list, such as [A, B]", "got 'logger -t x'"),
    ("anchor_list", ("hooks: []", "audit: {anchor: [logger]}"), "37:17", "audit.anchor",
     "must be a mapping of keys", "got a list"),
    ("long", ("symbol: ACME", "symbol: " + "A" * 65), "3:14", "instruments.0.symbol",
     "at most 64 characters", "…"),
    ("merge_key", ("execution: {", "execution: {<<: {a: 1}, "), "36:13", "execution.<<",
     "merge keys", ""),
    ("tag", ("cash: 100000", "cash: !!float 3"), "33:9", "broker.cash", "tag !!float", ""),
    ("python_tag", ("cash: 100000", "cash: !!python/name:os.system 3"), "33:9", "broker.cash",
     "tag !!python/name:os.system", ""),
    ("complex_key", ("hooks: []", "? [a, b]\n: 3\nhooks: []"), "37:3", "", "plain word", ""),
    ("control_key", ("  sma_slow:", '  "sma\\n": {type: sma}\n  sma_slow:'), "12:3", "features",
     "plain word", ""),
    ("digest", ("  type: rule\n  buy: sma_fast > sma_slow\n  sell: sma_fast <= sma_slow",
     "  {type: sklearn, path: m.skops, sha256: abc}"), "14:42", "model.sha256",
     "64 hexadecimal digits", "'abc'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("swap", "place", "key", "rule", "more"),
    [case[1:] for case in MISTAKES],
    ids=[case[0] for case in MISTAKES],
)
def test_a_mistake_names_file_line_column_key_rule_and_value(
    tmp_path, swap, place, key, rule, more
):
    path = write(tmp_path, demo(swap))
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{place}: {key}")
    assert rule in message
    assert more in message
    assert "\n" not in message
    assert caught.value.key == (key or None)
    assert caught.value.exit_code == 3
