# SPDX-License-Identifier: Apache-2.0
"""The fast plan over a catalog decides as the slow, obvious one, whatever happened before."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import storage
from pipeline.aliases import write_aliases
from pipeline.archive.catalog import write_catalog
from pipeline.archive.catalog_columns import catalog_ids, catalog_names
from pipeline.bracket import Bracket, Frame
from pipeline.bulk_planning import chunks, decisions
from pipeline.deciding import Doubt, Planner
from pipeline.digests import digest_of
from pipeline.errors import UsageError
from pipeline.ledger import Ledger, read_report
from pipeline.naming import Named, Names
from pipeline.planning import AGAIN_CODES, Settled, base_row
from pipeline.settings import FuseSettings, KeyMaker
from pipeline.standing_reader import standing_results
from pipeline.work_options import WorkOptions

KEYS = KeyMaker(FuseSettings(), None)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def bracket(name: str, mtime_ns: int, **facts) -> Bracket:
    count = 1 if facts.get("kind") == "single" else 2
    frames = tuple(
        Frame(
            uri=f"/in/{name}/{k}",
            path=f"{name}/{k}.jpg",
            size_bytes=9,
            mtime_ns=mtime_ns,
            ev=float(k),
        )
        for k in range(count)
    )
    return Bracket(frames=frames, source="/in", **facts)


def planner(destination, brackets=(), **work) -> Planner:
    return Planner(
        names=lambda: Names(brackets, template="{stem}", model="m"),
        settings=FuseSettings(),
        weights_sha256=None,
        destination=str(destination),
        standing=standing_results(str(destination)),
        run_id="now",
        work=WorkOptions(**work),
    )


def slow(one: Bracket, destination, same_as, work: WorkOptions) -> str:
    """The rules in their simplest form, over rows as dictionaries."""
    rows = read_report(str(destination), newest=False).to_pylist()
    rows.sort(key=lambda row: (row["finished_at"], row["run_id"], row["worker"]))
    key = KEYS.key(one)
    meant = same_as.get(key, key)
    last = {row["bracket_id"]: row for row in rows}.get(one.id)
    if last is not None and last["fate"] in ("superseded", "pruned"):
        last = None
    told = (last["key"], last["status"], last["error_code"]) if last else None
    row = "with a row" if last and last["fate"] else "silently"
    if one.error_code is not None:
        again = work.force or work.retry_quarantined or told != (key, "quarantined", one.error_code)
        return "quarantined with a row" if again else f"quarantined {row}"
    if one.kind == "single":
        return f"skipped {row}" if told == (key, "skipped", None) else "skipped with a row"
    if last is None or work.force:
        return "work"
    writers = {
        row["result_path"]: row
        for row in rows
        if row["status"] == "fused" and row["fate"] not in ("superseded", "pruned")
    }

    def stands(key):
        fit = [row for row in rows if (row["bracket_id"], row["key"]) == (one.id, key)]
        fit = [row for row in fit if writers.get(row["result_path"]) is row]
        there = fit and (destination / fit[-1]["result_path"]).exists()
        return last["status"] == "fused" and there

    if stands(meant):
        return f"reused {row}"
    if told[:2] == (meant, "quarantined") and told[2] not in AGAIN_CODES:
        return "work" if work.retry_quarantined else f"quarantined {row}"
    timeless = KEYS.key(one, timeless=True)
    if last["key"] != meant and last["timeless_key"] == timeless and stands(last["key"]):
        return "doubt" if last["frame_sha256s"] else "work"
    return "work"


def said(decision) -> str:
    if isinstance(decision, Doubt):
        return "doubt"
    if isinstance(decision, Settled):
        return f"{decision.status} {'silently' if decision.row is None else 'with a row'}"
    return "work"


KINDS = [
    {},
    {"kind": "single"},
    {"kind": "single", "error_code": "file-empty", "error_message": "x"},
    {"label_uri": "/in/label.jpg", "label_kind": "display"},
]
brackets = st.builds(
    lambda name, mtime, kind: bracket(f"{name}{kind}", mtime, **KINDS[kind]),
    st.sampled_from("abc"),
    st.integers(1, 2),
    st.sampled_from([0, 0, 0, 1, 2, 3]),
)
events = st.tuples(
    brackets,
    st.sampled_from(["fused", "fused", "fused", "skipped", "quarantined"]),
    st.sampled_from([None, None, None, "source_gone", "superseded", "pruned"]),
    st.sampled_from(["decode-failed", "file-empty", "result-missing"]),
    st.sampled_from(["p1", "p2", "own"]),
    st.integers(0, 5),
    st.booleans(),
)
works = st.builds(dict, force=st.booleans(), retry_quarantined=st.booleans())


@settings(max_examples=25, deadline=None)
@given(
    history=st.lists(events, max_size=10),
    now=st.lists(brackets, min_size=1, max_size=6, unique_by=lambda one: one.id),
    missing=st.sampled_from(["p1", "none"]),
    alias=st.booleans(),
    work=works,
)
def test_the_fast_plan_decides_as_the_slow_one(
    tmp_path_factory, history, now, missing, alias, work
):
    folder = tmp_path_factory.mktemp("plan")
    same_as = {}
    with Ledger(str(folder), "old", "w", max_rows=3) as ledger:
        for number, (one, status, fate, code, path, at, hashed) in enumerate(history):
            path = f"results/{one.id}" if path == "own" else f"results/{path}"
            row = base_row(
                one,
                run_id=f"r{number:02d}",
                worker="w",
                key=KEYS.key(one),
                timeless_key=KEYS.key(one, timeless=True),
                status=status,
                fate=fate,
                error_code=code if status == "quarantined" else None,
                result_path=path if status == "fused" else None,
                result_sha256="s" if status == "fused" else None,
                frame_sha256s=["h"] * len(one.frames) if hashed else None,
                reference_sha256="h",
            )
            ledger.append(row | {"finished_at": NOW + timedelta(seconds=at)})
            if status == "fused" and not path.endswith(missing):
                (folder / "results").mkdir(exist_ok=True)
                (folder / path).write_bytes(b"x")
            if alias:
                same_as[KEYS.key(bracket(one.frames[0].path[:2], 2))] = KEYS.key(one)
    write_aliases(
        str(folder), "old", 0, {digest_of(key): digest_of(to) for key, to in same_as.items()}
    )
    write_catalog(now, str(folder / "catalog.parquet"))
    plan = planner(folder, now, **work)
    expected = [slow(one, folder, same_as, WorkOptions(**work)) for one in now]
    assert [said(plan.decide(one)) for one in now] == expected
    found = Counter()
    for decision in decisions(str(folder / "catalog.parquet"), plan):
        found[said(decision)] += decision.count if isinstance(decision, Settled) else 1
    assert found == Counter(expected)


@pytest.fixture
def archive(tmp_path):
    """Two brackets with frames on disk, fused once; a function that plans them again."""
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for k in range(2):
            (tmp_path / "in" / name / f"{k}.jpg").write_bytes(f"{name}{k}".encode())

    def at(mtime_ns):
        return [
            Bracket(
                source="/in",
                frames=tuple(
                    Frame(
                        uri=str(tmp_path / "in" / name / f"{k}.jpg"),
                        path=f"{name}/{k}.jpg",
                        size_bytes=2,
                        mtime_ns=mtime_ns,
                    )
                    for k in range(2)
                ),
            )
            for name in ("a", "b")
        ]

    def plan(mtime_ns):
        write_catalog(at(mtime_ns), str(tmp_path / "c.parquet"))
        same_as: dict[bytes, bytes] = {}
        decided = decisions(str(tmp_path / "c.parquet"), planner(tmp_path, at(mtime_ns)))
        found = [one for chunk in chunks(decided, 10, same_as) for one in chunk]
        write_aliases(str(tmp_path), f"r{mtime_ns}", 0, same_as)
        return found, same_as

    with Ledger(str(tmp_path), "r", "w") as ledger:
        for one in at(1):
            path = f"results/{one.id}.jpg"
            storage.write_atomic(str(tmp_path / path), b"x")
            hashes = [storage.sha256_of(storage.read_bytes(frame.uri)) for frame in one.frames]
            ledger.append(
                base_row(
                    one,
                    run_id="r",
                    worker="w",
                    status="fused",
                    key=KEYS.key(one),
                    timeless_key=KEYS.key(one, timeless=True),
                    result_path=path,
                    result_sha256="s",
                    frame_sha256s=hashes,
                )
            )
    return plan


def test_a_copied_archive_is_known_by_its_contents_and_the_next_time_at_once(archive, tmp_path):
    found, same_as = archive(2)
    assert Counter(map(said, found)) == {"reused silently": 2}
    assert len(same_as) == 2
    for path in (tmp_path / "in").rglob("*.jpg"):
        path.unlink()  # nobody looks at the contents again
    assert archive(2) == ([Settled(status="reused", count=2)], {})


def test_a_copy_that_differs_in_content_is_work(archive, tmp_path):
    (tmp_path / "in" / "b" / "1.jpg").write_bytes(b"??")
    (tmp_path / "in" / "a" / "1.jpg").unlink()
    found, same_as = archive(2)
    assert [said(one) for one in found] == ["work", "work"]
    assert same_as == {}


def test_a_bracket_that_comes_twice_is_refused(tmp_path):
    write_catalog([bracket("a", 1), bracket("b", 1), bracket("a", 1)], str(tmp_path / "c.parquet"))
    with pytest.raises(UsageError, match=r"a/0\.jpg is in the catalog twice"):
        catalog_ids(str(tmp_path / "c.parquet"))


def test_names_come_from_the_columns_as_from_the_brackets(tmp_path):
    several = [bracket(name, 1, **kind) for name in "ab" for kind in KINDS[:2]]
    write_catalog(several, str(tmp_path / "c.parquet"))
    assert list(catalog_names(str(tmp_path / "c.parquet"))) == [Named.of(one) for one in several]
