# SPDX-License-Identifier: Apache-2.0
"""The verifier: every fault is found, leftovers of ours go, and nobody else's file is touched."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import timedelta
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.aliases import write_aliases
from pipeline.errors import UsageError
from pipeline.images.writing import encode_photo
from pipeline.ledger import Ledger, read_intents, read_report, write_manifest
from pipeline.report.schema import make_row
from pipeline.verifying.findings import MEANINGS
from pipeline.verifying.verify import verify

NOW_S = 2_000_000_000.0
PIXELS = np.random.default_rng(0).integers(0, 255, (32, 40, 3), np.uint8)


class Destination:
    """A destination with one good result per format, as ``fuse`` would leave it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = [self.result(number, kind) for number, kind in enumerate(("jpeg", "png"))]
        with Ledger(str(folder), "r1", "w") as ledger:
            for row in self.rows:
                ledger.append(row)
        write_manifest(str(folder), "r1", {"run_id": "r1", "started_at": "2026"})

    def result(self, number: int, kind: str) -> dict:
        name = f"{number:016x}"
        data = encode_photo(PIXELS + number, format=kind, bits=8, quality=90).data
        path = f"results/day/{number}.{kind}"
        self.write(path, data)
        self.write(f"previews/00/{name}.jpg", b"a preview")
        return make_row(
            run_id="r1",
            bracket_id=name,
            status="fused",
            frame_paths=[f"{number}/a.jpg", f"{number}/b.jpg"],
            result_path=path,
            result_uri=str(self.folder / path),
            result_sha256=hashlib.sha256(data).hexdigest(),
            result_bytes=len(data),
            result_format=kind,
            # The destination was somewhere else when this was written.
            preview_uri=f"/elsewhere/previews/00/{name}.jpg",
        )

    def write(self, path: str, data: bytes, changed_s: float = NOW_S) -> Path:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        os.utime(place, (changed_s, changed_s))
        return place

    def __getitem__(self, number: int) -> Path:
        return self.folder / self.rows[number]["result_path"]

    def verify(self, **options):
        return verify(str(self.folder), now_s=NOW_S, **options)

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def out(tmp_path):
    return Destination(tmp_path / "out")


@pytest.mark.parametrize("deep", [False, True])
def test_a_whole_destination_is_clean(out, deep):
    verdict = out.verify(deep=deep)
    assert verdict.clean
    assert (verdict.rows, verdict.files, verdict.counts) == (2, 4, {})


def test_looking_changes_nothing(out):
    out[0].write_bytes(b"x")
    out.write("results/.bracketflow-" + "0" * 32 + ".tmp", b"", changed_s=0)
    out.write("results/stranger.jpg", b"")
    before = out.files()
    assert not out.verify(deep=True).clean
    assert out.files() == before


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda data: data[: len(data) // 2], "result-damaged"),
        (flipped, "result-damaged"),
        (lambda data: b"", "result-damaged"),
        (lambda data: data + b"an editor's words", "result-changed"),
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_other_bytes_than_were_written(out, number, harm, code):
    harmed = harm(out[number].read_bytes())
    out[number].write_bytes(harmed)
    verdict = out.verify()
    assert verdict.counts == {code: 1}
    (finding,) = verdict.findings
    assert finding.path == out.rows[number]["result_path"]
    assert finding.bracket_id == out.rows[number]["bracket_id"]
    assert str(out[number]) in finding.message
    out.verify(repair=True)
    if code == "result-changed":
        assert out[number].read_bytes() == harmed
    else:
        # Out of the way, so that it is missing and made again; and not lost either.
        assert not out[number].exists()
        assert (out.folder / "set-aside" / finding.path).read_bytes() == harmed
        assert out.verify().counts == {"result-missing": 1}


def test_a_missing_result_and_a_missing_preview(out):
    out[0].unlink()
    (out.folder / "previews" / "00" / f"{1:016x}.jpg").unlink()
    verdict = out.verify()
    assert verdict.counts == {"preview-missing": 1, "result-missing": 1}
    assert not verdict.clean


def test_a_row_that_leaves_the_destination_is_not_followed(out, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    for path in ("results/../../secret.jpg", "/etc/passwd", "report/x", "results//x"):
        with Ledger(str(out.folder), "r1", "evil") as ledger:
            ledger.append(out.rows[0] | {"result_path": path})
        verdict = out.verify(repair=True)
        assert verdict.counts["result-outside"] == 1
    assert (tmp_path / "secret.jpg").exists()


def test_strangers_are_reported_and_left_alone(out):
    strangers = [out.write("results/day/0.xmp", b"mine"), out.write("previews/x/y.jpg", b"mine")]
    out.write("results/.DS_Store", b"")
    verdict = out.verify(repair=True)
    assert verdict.counts == {"file-unknown": 2}
    assert all(path.exists() for path in strangers)


def test_a_name_that_is_no_utf8_is_reported_as_well(out, tmp_path):
    place = Path(os.fsdecode(os.fsencode(out.folder / "results") + b"/\xff.jpg"))
    place.write_bytes(b"")
    verdict = out.verify(out=str(tmp_path / "findings.parquet"))
    assert [finding.path for finding in verdict.findings] == ["results/\\udcff.jpg"]


def test_old_temporary_files_of_ours_go(out):
    old = out.write("results/day/.bracketflow-" + "a" * 32 + ".tmp", b"", NOW_S - 2 * 86400)
    young = out.write("report/run=r1/.bracketflow-" + "b" * 32 + ".tmp", b"", NOW_S - 60)
    alike = out.write("results/.bracketflow-mine.tmp", b"", 0)
    assert out.verify().counts == {"leftover-temporary": 1}
    verdict = out.verify(repair=True)
    assert verdict.clean
    assert verdict.findings[0].done == "removed"
    assert [path.exists() for path in (old, young, alike)] == [False, True, True]


def test_what_a_writer_that_died_left_is_known_for_ours(out):
    dying = Ledger(str(out.folder), "r2", "w")
    data = b"a result without its row"
    dying.intend("results/day/9.png", hashlib.sha256(data).hexdigest())
    dying.intend("results/day/never-written.png", "0" * 64)
    place = out.write("results/day/9.png", data)
    verdict = out.verify()
    assert verdict.counts == {"leftover-result": 1, "run-unfinished": 1, "writer-died": 1}
    assert verdict.open == 1
    assert out.verify(repair=True).clean
    assert not place.exists()
    assert read_intents(str(out.folder)) == {}


def test_a_result_newer_than_its_row_is_left_to_the_next_run(out):
    """A writer that died had replaced it: the row is old, the announcement all there is."""
    dying = Ledger(str(out.folder), "r2", "w")
    data = encode_photo(PIXELS[::-1], format="png", bits=8).data
    dying.intend(out.rows[1]["result_path"], hashlib.sha256(data).hexdigest())
    out[1].write_bytes(data)
    verdict = out.verify(repair=True)
    assert verdict.counts["leftover-result"] == 1
    assert "result-damaged" not in verdict.counts
    assert out[1].read_bytes() == data
    assert read_intents(str(out.folder))  # by which the next run knows the file for ours


def test_a_superseded_result_that_is_still_there_goes(out):
    later = out.rows[0]["finished_at"] + timedelta(seconds=1)
    with Ledger(str(out.folder), "r1", "again") as ledger:
        ledger.append(out.rows[0] | {"fate": "superseded", "finished_at": later})
    assert out.verify().counts == {"leftover-superseded": 1}
    assert out.verify(repair=True).clean
    assert not out[0].exists()
    assert out[1].exists()


def test_a_superseded_result_that_was_edited_stays(out):
    later = out.rows[0]["finished_at"] + timedelta(seconds=1)
    with Ledger(str(out.folder), "r1", "again") as ledger:
        ledger.append(out.rows[0] | {"fate": "superseded", "finished_at": later})
    out[0].write_bytes(b"an edit")
    assert out.verify(repair=True).counts == {}
    assert out[0].read_bytes() == b"an edit"


def test_a_damaged_segment_is_set_aside_first(out):
    (segment,) = (out.folder / "report" / "run=r1").glob("segment-*.parquet")
    segment.write_bytes(flipped(segment.read_bytes()[:-8]) + b"PAR1PAR1")
    verdict = out.verify()
    assert verdict.counts == {"segment-unreadable": 1}
    assert not verdict.complete
    assert not verdict.clean
    repaired = out.verify(repair=True)
    assert repaired.complete
    assert repaired.counts == {"file-unknown": 4, "segment-unreadable": 1}
    assert len(read_report(str(out.folder))) == 0
    assert (out.folder / "set-aside" / segment.relative_to(out.folder)).exists()


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": 1}', "[" * 100_000])
def test_damaged_records_are_set_aside(out, content):
    out.write("report/run=r2/_writing-w.json", content.encode())
    assert out.verify().counts["record-unreadable"] == 1
    out.verify(repair=True)
    assert out.verify().clean


def test_damaged_aliases_are_set_aside(out):
    write_aliases(str(out.folder), "r1", 0, {b"a" * 16: b"b" * 16})
    assert out.verify().clean
    (place,) = out.folder.rglob("*.arrow")
    place.write_bytes(place.read_bytes()[:50])
    assert out.verify().counts == {"record-unreadable": 1}
    out.verify(repair=True)
    assert out.verify().clean


def test_a_run_without_manifest_is_a_remark(out):
    (out.folder / "report" / "run=r1" / "_manifest.json").unlink()
    verdict = out.verify()
    assert verdict.counts == {"run-unfinished": 1}
    assert verdict.clean


def test_all_findings_go_to_a_file(out, tmp_path):
    for number in range(30):
        out.write(f"results/{number}.txt", b"")
    verdict = out.verify(out=str(tmp_path / "findings.parquet"))
    table = pq.read_table(tmp_path / "findings.parquet")
    assert len(table) == sum(verdict.counts.values()) == 30
    assert set(table["code"].to_pylist()) <= MEANINGS.keys()


def test_scores_have_no_results_of_their_own(tmp_path):
    with Ledger(str(tmp_path), "r1", "w") as ledger:
        ledger.append(make_row(run_id="r1", bracket_id="a", status="fused", result_uri="/x.jpg"))
    write_manifest(str(tmp_path), "r1", {"run_id": "r1", "started_at": "2026"})
    assert verify(str(tmp_path)).clean


def test_there_must_be_a_report(tmp_path):
    with pytest.raises(UsageError, match="no report"):
        verify(str(tmp_path))


def test_it_works_on_an_object_store(out):
    memory = fsspec.filesystem("memory")
    for path, data in out.files().items():
        memory.pipe_file(f"/bucket/out/{path}", data)
    assert verify("memory://bucket/out", deep=True).clean
    memory.pipe_file(f"/bucket/out/{out.rows[1]['result_path']}", b"x")
    verdict = verify("memory://bucket/out", repair=True)
    assert verdict.counts == {"result-damaged": 1}
    assert verify("memory://bucket/out").counts == {"result-missing": 1}
    memory.rm("/bucket", recursive=True)


def test_findings_are_plain_data(out):
    out[0].unlink()
    (finding,) = out.verify().findings
    assert json.dumps(vars(finding))
