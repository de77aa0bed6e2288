"""The hash of a record and the tree over the records."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.journal_kit import finished_run, records_of
from trader.journal.audit.passes import Chain, Sense
from trader.journal.chain import GENESIS, record_hash
from trader.journal.merkle import EMPTY_ROOT, MerkleTree

INTEGERS = ("seq", "wall_ns", "mono_ns", "event_ns", "cause")


def test_record_hash_is_the_documented_one():
    expected = hashlib.sha256(b"\x00trader-audit/1")
    for number in (7, 1, -2):
        expected.update((8).to_bytes(4, "big") + number.to_bytes(8, "big", signed=True))
    expected.update(bytes(4))  # no event time
    expected.update((8).to_bytes(4, "big") + (6).to_bytes(8, "big"))
    for raw in (b"ALERT", b'{"x":1}', bytes(range(32))):
        expected.update(len(raw).to_bytes(4, "big") + raw)
    made = record_hash((7, 1, -2, None, 6), b"ALERT", b'{"x":1}', bytes(range(32)))
    assert made == expected.digest()


def test_bytes_cannot_move_between_type_and_payload():
    stamp = (1, 0, 0, None, None)
    assert record_hash(stamp, b"AB", b"C", GENESIS) != record_hash(stamp, b"A", b"BC", GENESIS)


def test_a_missing_time_is_not_time_zero():
    absent, zero = (1, 0, 0, None, 0), (1, 0, 0, 0, None)
    assert record_hash(absent, b"A", b"", GENESIS) != record_hash(zero, b"A", b"", GENESIS)


def naive_root(leaves):
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = naive_root(leaves[:split]), naive_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_merkle_root_equals_the_recursive_definition(leaves):
    tree = MerkleTree(leaves)
    assert (tree.size, tree.root()) == (len(leaves), naive_root(leaves))
    assert MerkleTree().root() == EMPTY_ROOT


def test_merkle_root_equals_the_published_vectors():
    leaves = [bytes.fromhex(text) for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )]  # fmt: skip
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for size, root in roots.items():
        assert MerkleTree(leaves[:size]).root().hex() == root


def test_a_copied_tree_grows_alone():
    tree = MerkleTree([b"a", b"b", b"c"])
    before = tree.root()
    twin = tree.copy()
    twin.add(b"d")
    assert (tree.root(), tree.size, twin.size) == (before, 3, 4)


@pytest.fixture(scope="module")
def hundred(tmp_path_factory):
    """At least 100 records of a real run, as verification reads them."""
    run = finished_run(tmp_path_factory.mktemp("hundred"), 16)
    records = records_of(run.path)
    assert 100 <= len(records) <= 140
    return [(*r[:5], r.type.encode(), r.prev, r.hash, r.payload.encode()) for r in records]


def flips(raw):
    """`raw` with each single bit flipped."""
    for place in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[place] ^= 1 << bit
            yield bytes(flipped)


def damaged_rows(row):
    """`row` with every single bit of every column flipped, and absent integers made present."""
    for place in range(5):
        if row[place] is None:
            yield (*row[:place], 0, *row[place + 1 :])
            continue
        for bit in range(64):
            raw = (row[place] & (1 << 64) - 1) ^ (1 << bit)
            value = raw - (1 << 64) if raw >> 63 else raw
            yield (*row[:place], value, *row[place + 1 :])
    for place in range(5, 9):
        for flipped in flips(row[place]):
            yield (*row[:place], flipped, *row[place + 1 :])


@pytest.mark.long
def test_every_single_bit_flip_of_every_column_of_a_hundred_records_is_seen(hundred):
    seen = 0
    prev, seq = GENESIS, 0
    for row in hundred:
        for damaged in damaged_rows(row):
            chain = Chain()
            chain.seq, chain.head = seq, prev
            assert not chain.take(damaged), f"record {seq + 1} passed with a bit flipped"
            seen += 1
        prev, seq = row[7], row[0]
    assert seen > 100_000


def test_the_same_records_without_a_flip_pass(hundred):
    chain, sense = Chain(), Sense()
    for row in hundred:
        assert chain.take(row)
        sense.take(row)
    chain.finish()
    assert (chain.problem, chain.first_of(sense.problem), chain.seq) == (None, None, len(hundred))


def test_a_column_of_another_type_is_seen(hundred):
    row = hundred[0]
    for place in range(9):
        for value in (None, 1.5, "text", b"bytes"):
            if value != row[place]:
                assert not Chain().take((*row[:place], value, *row[place + 1 :]))
