"""`python -m tests.models.mutants FOLDER FIRST LAST SEED`: loads files that were damaged.

    FOLDER/NAME          a whole model file, and FOLDER/NAME.json its section
    stdout               one line a file: number, name, outcome

Law: runs in a process that may die; who started it goes on behind the last number it printed.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from tests.model_files import NAMES
from tests.model_kit import make_config
from trader.errors import ConfigError, ModelError
from trader.models.file_model import FileModel
from trader.models.memory import limit_memory

MEMORY = 2 << 30


def mutated(data: bytes, chance: np.random.Generator) -> bytes:
    """The bytes with one to four things done to them."""
    damaged = bytearray(data)
    for _ in range(int(chance.integers(1, 5))):
        at = int(chance.integers(0, max(len(damaged), 1)))
        length = int(chance.choice([1, 4, 16, 256]))
        part = damaged[at : at + length]
        match int(chance.integers(0, 7)):
            case 0:
                damaged[at : at + length] = bytes(byte ^ (1 << (at % 8)) for byte in part)
            case 1:
                damaged[at : at + length] = chance.bytes(len(part))
            case 2:
                del damaged[at : at + length]
            case 3:
                damaged[at:at] = chance.bytes(length)
            case 4:
                damaged[at:at] = part * int(chance.integers(1, 20))
            case 5:
                damaged[at : at + length] = b"\xff" * len(part)
            case _:
                digits = [i for i, byte in enumerate(damaged) if 48 <= byte <= 57][:2000]
                if digits:
                    place = digits[int(chance.integers(0, len(digits)))]
                    damaged[place : place + 1] = str(chance.choice([2**31, 2**63, -1, 0])).encode()
    if chance.random() < 0.1:
        del damaged[int(chance.integers(0, max(len(damaged), 1))) :]
    is_text = max(data) < 128
    if is_text and chance.random() < 0.7:  # of text, or its first check would be the only one met
        return bytes(byte & 127 for byte in damaged)
    return bytes(damaged)


def damaged_file(folder: Path, number: int, seed: int) -> tuple[str, bytes]:
    """(name of the whole file, bytes) of the damaged one of that number."""
    whole = sorted(path for path in folder.iterdir() if path.suffix != ".section")
    chosen = whole[number % len(whole)]
    return chosen.name, mutated(chosen.read_bytes(), np.random.default_rng([seed, number]))


def outcome(section: dict, path: Path, data: bytes) -> str:
    """What loading and asking such a file comes to."""
    path.write_bytes(data)
    section = section | {"path": str(path), "sha256": hashlib.sha256(data).hexdigest()}
    config = make_config(section)
    rows = np.random.default_rng(1).normal(size=(8, len(NAMES)))
    try:
        FileModel(config, NAMES, config.symbols).predict(np.empty(0), rows)
    except (ModelError, ConfigError) as error:
        return f"refused: {str(error).splitlines()[0]}"  # no line: it counts as a death
    return "answered"


def main(folder: Path, first: int, last: int, seed: int) -> None:
    """Load the files from `first` up to `last`, one line each."""
    limit_memory(MEMORY)
    for number in range(first, last):
        name, data = damaged_file(folder, number, seed)
        section = json.loads((folder / f"{name}.section").read_text())
        print(f"{number} {name} begins", flush=True)
        said = outcome(section, folder.parent / f"damaged-{name}", data)
        print(f"{number} {name} {said}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
