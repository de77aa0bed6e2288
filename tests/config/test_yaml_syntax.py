"""What a config says that YAML cannot read: the place of the slip and a plain remedy."""

import pytest

from tests.config_demo import load, write
from trader.errors import ConfigError

SLIPS = [
    ("open_bracket", "name: demo\nhooks: [a, b\nrisk: 3\nseed: 4\n", "2:8",
     "opens [ and lacks a comma or the closing ] before line 3"),
    ("open_brace", "name: demo\nrisk: {a: 1, b: 2\nseed: 4\n", "2:7",
     "opens { and lacks a comma or the closing } before line 3"),
    ("no_comma", "name: demo\nrisk: {a: 1 b: 2}\n", "2:14", "needs a comma before this, or }"),
    ("other_bracket", "risk: {a: 1]\n", "1:12", "closes { with the other bracket; use }"),
    ("ends_in_brackets", "hooks: [", "1:9", "ends inside brackets; close them"),
    ("stray_bracket", "hooks: ]\n", "1:8", "closing bracket that nothing opened"),
    ("two_keys_a_line", "name: demo\nbroker: cash: 3\n", "2:13", "a line of its own"),
    ("deeper", "name: demo\n  seed: 3\n", "2:7", "in the column of its section"),
    ("shallower", "risk:\n    a: 1\n  b: 2\n", "3:3", "is indented unlike the keys above"),
    ("no_colon", "name: demo\nseed 3\nrisk: 4\n", "2:1", "write it as `key: value`"),
    ("no_colon_below", "risk:\n  a: 1\n  b 2\n  c: 3\n", "3:3", "is a word without a colon"),
    ("open_quote", "name: 'demo\nseed: 3\nrisk: 4\n", "1:7", "a quote that is never closed"),
    ("inner_quote", "name: 'it's'\nseed: 3\n", "1:11", "double a quote inside quotes"),
    ("backslash", 'feed: "C:\\qata"\n', "1:11", "backslash in double quotes"),
    ("at_sign", "name: @demo\n", "1:7", "begins with @"),
    ("percent", "%name: demo\n", "1:1", "begins with %"),
    ("star", "name: *demo\n", "1:7", "put the text in quotes"),
    ("anchor_twice", "a: &x 1\nb: &x 2\n", "2:4", "an anchor (&) a second time"),
    ("tab", "risk:\n\ta: 1\n", "2:1", "holds a tab where YAML needs spaces"),
    ("dash", "name: demo\n- a\n", "2:1", "is a list element among keys"),
    ("documents", "name: a\n---\nname: b\n", "2:1", "more than one document"),
    ("block", "name: |x\n  foo\n", "1:8", "is not valid YAML"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "message"), [slip[1:] for slip in SLIPS], ids=[slip[0] for slip in SLIPS]
)
def test_a_slip_of_yaml_is_told_where_it_stands_with_the_remedy(tmp_path, text, place, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    told = str(caught.value)
    assert told.startswith(f"{path}:{place}: "), told
    assert message in told
    assert not any(word in told for word in ("block end", "flow", "token", "None"))
