"""A text file's bytes as UTF-8, whatever it is packed in.

Law: gzip, a zip of one file and UTF-16 with its mark are told by their own first bytes, not by the
file's name; what is none of them is left as it is.
"""

import gzip
import io
import zipfile
import zlib
from pathlib import Path

from trader.errors import DataError
from trader.tables.dialect import Notes

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"
NEWLINE = b"\n"


def content_of(path: Path, notes: Notes) -> bytes:
    """The bytes of the text; `DataError` for a damaged archive, or one of several files."""
    content = path.read_bytes()
    if content.startswith(GZIP) or path.suffix == ".gz":
        content = _unzipped(path, content)
    elif content.startswith(ZIP):
        content = _only_member(path, content, notes)
    if content.startswith(UTF_16):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-16 ({error.reason}); save it as UTF-8") from error
        notes.add("UTF-16")
    return content


def _unzipped(path: Path, content: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); compress it again") from error


def _only_member(path: Path, content: bytes, notes: Notes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise DataError(
                    f"{path}: a zip of {len(names)} files; unpack it and name the one that is meant"
                )
            notes.add(f"{names[0]!r} in a zip")
            return archive.read(names[0])
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{path}: not a whole zip file ({error}); compress it again") from error


def check_text(path: Path, content: bytes) -> None:
    """`DataError` where the bytes are no table of texts with rows."""
    if content.startswith(b"PAR1"):
        raise DataError(f"{path}: not a CSV but Parquet; set feed.type: parquet")
    rows = content.removeprefix(BOM).strip()
    if not rows:
        raise DataError(f"{path}: the file is empty")
    if NEWLINE not in rows and b"\r" not in rows:
        raise DataError(f"{path}: a header and no rows")
    nul = content.find(b"\0")
    if nul >= 0:
        line = content.count(NEWLINE, 0, nul) + 1
        raise DataError(f"{path} line {line}: a NUL byte; not a CSV")
