"""Each run a witness of the one before: RUN_START names the head of the newest run of its name.

Law: naming a parent never fails and is never waited for: a journal that cannot be read is no
parent. A parent is judged only where somebody asks for it; a run goes on from its own journal,
whatever has become of an older one.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from trader.journal.anchor import parsed_head
from trader.journal.audit.findings import Parent, Problem, Report
from trader.journal.records import JournalError
from trader.journal.store import FILE_NAME, read_head, read_records

MATCHES, DIFFERS, ABSENT = "matches", "differs", "absent"


def newest_parent(journals: list[Path]) -> tuple[str | None, str | None]:
    """(run id, `seq:hash`) of the first of `journals`; (None, None) without one to be read."""
    if not journals:
        return None, None
    try:
        return journals[0].parent.name, str(read_head(journals[0]))
    except (JournalError, OSError, ValueError):
        return None, None


def with_parent(report: Report, runs: Path) -> Report:
    """`report` of a journal, and what is left of the run before it in the folder `runs`."""
    if report.records == 0:
        return report  # not even RUN_START can be believed
    start = next(read_records(Path(report.path))).data
    run_id, head = start.get("parent_run"), start.get("parent_head")
    if run_id is None and head is None:
        return report
    status, fault = _judged(runs, run_id, head)
    found = replace(report, parent=Parent(str(run_id), str(head), status))
    if fault is None:
        return found
    problems = sorted([*report.problems, Problem(1, "anchor", fault)])
    return replace(found, ok=False, problems=problems)


def _judged(runs: Path, run_id: Any, head: Any) -> tuple[str, str | None]:
    """(status, what is wrong) of the parent that a RUN_START names."""
    named = parsed_head(head) if isinstance(head, str) else None
    if named is None or named.seq is None:
        return DIFFERS, f"it names no head of the run before: {head!r:.80}"
    if not isinstance(run_id, str) or Path(run_id).name != run_id:
        return DIFFERS, f"it names no run before it: {run_id!r:.80}"
    path = runs / run_id / FILE_NAME
    if not path.is_file():
        return ABSENT, None
    try:
        last = read_head(path)
        there = next(read_records(path, named.seq), None)
    except (JournalError, ValueError) as error:
        return DIFFERS, f"the run before, {run_id}, cannot be read: {error}"
    if last.seq < named.seq or there is None:
        text = f"it names record {named.seq} of the run before, {run_id}, which ends at {last.seq}"
        return DIFFERS, text
    if (there.seq, there.hash) != (named.seq, named.hash):
        return DIFFERS, f"record {named.seq} of the run before, {run_id}, is not the one it names"
    return MATCHES, None
