"""The page that sets 2017 beside a publication says what the ledger says, row by row."""

import json

import pytest

from nbutils.evidence import intervals, ledger
from nbutils.files import write_json
from nbutils.reports.publish import placing, publishing, then_and_now
from nbutils.show import figures

MANIFEST = {"profile": "tiny", "commit": "abc1234", "date": "2026-01-02T03:04:05", "notebooks": {}}
MANIFEST["notebooks"] = {"05_a": {"commit": "abc1234"}, "06_b": {"commit": "abc1234"}}


@pytest.fixture
def entries(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "display", lambda value: None)
    claims = ledger.Ledger()
    found = intervals.summarised(2.0, 1.0, 100)
    told = dict(unit="levels", per="pictures", measured="the distance | from it", evidence="table-contest")
    claims.state("A01", "a rule")
    claims.settle("A01", found, on=ledger.SCENES, beside="At a price.", **told)
    claims.also("A01", found, on="photographs", **told)
    claims.state("B07", "a rule")
    claims.settle("B07", found, on=ledger.MNIST, short="3 seeds, and it takes 4", **told)
    write_json(tmp_path / "05_a.json", {"claims": claims.entries})
    return ledger.collect(tmp_path, ["05_a"])


def row_of(page, claim):
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {claim} ")]
    return row


def test_every_claim_of_2017_has_a_row_with_its_number_and_where_it_stands(entries):
    page = then_and_now.page({"claims.json": json.dumps(entries).encode()}, MANIFEST)
    assert "33 claims: 1 supported, 0 refuted, 32 undecided." in page
    for claim in ledger.CLAIMS:
        assert page.count(f"\n| {claim} ") == ledger.of_2017(claim)
    row = row_of(page, "A01")
    assert "*(said of music, and tried on pictures here)*" in row
    assert "than those of Gibbs sampling: 2 levels. At a price." in row
    assert "*On photographs.* 2 levels: supported." in row
    assert row.endswith("[Report 05](05_a.html#table-contest) | **supported**, on drawn scenes |")
    assert "Too small to say: 3 seeds, and it takes 4." in row_of(page, "B07")
    assert then_and_now._OLD not in page
    assert then_and_now.page({}, MANIFEST) is None


def test_what_was_settled_after_the_ledger_was_collected_stands_beside_it(entries):
    first = next(entry for entry in entries if entry["id"] == "A01")
    again = first | {"verdict": "refuted", "standing": "as stated"}
    files = {"claims.json": entries, "05_a.json": {"claims": [first]}, "06_b.json": {"claims": [again]}}
    page = then_and_now.page({name: json.dumps(part).encode() for name, part in files.items()}, MANIFEST)
    newer = "; settled anew in [report 06](06_b.html#claim-A01): **refuted**, as stated |"
    assert row_of(page, "A01").endswith(newer)
    assert page.count("settled anew") == 1
    files |= {"06_b.json": {"claims": [again | {"history": "Otherwise."}]}}
    page = then_and_now.page({name: json.dumps(part).encode() for name, part in files.items()}, MANIFEST)
    assert row_of(page, "A01").endswith("**refuted**, as stated, by a rule that has changed since |")


def test_of_an_older_ledger_the_page_gives_its_own_words_and_says_so(entries):
    new = ("standing", "short", "also", "beside", "p", "on", "ours", "history", "adjusted_p")
    old = [{name: value for name, value in entry.items() if name not in new} for entry in entries]
    page = then_and_now.page({"claims.json": json.dumps(old).encode()}, MANIFEST)
    assert then_and_now._OLD in page
    row = (
        r"The distance \| from it: 2 levels. [Report 05](05_a.html#table-contest) | **supported**, by a rule"
    )
    assert row in page


def test_it_is_written_anew_from_what_is_published_and_belongs_to_the_publication(entries, tmp_path):
    docs, said = tmp_path / "docs", []
    docs.mkdir()
    with pytest.raises(publishing.PublishError, match=r"docs: has no claims\.json of a publication"):
        publishing.compare(docs)
    placing.place(docs, {"claims.json": json.dumps(entries).encode()}, MANIFEST)
    (docs / "mine.md").write_text("Somebody's.")
    publishing.compare(docs, said.append)
    assert said[-1].endswith("2017.md: written")
    assert then_and_now.PAGE in placing.owned(docs)
    assert row_of((docs / then_and_now.PAGE).read_text(), "A01")
    publishing.compare(docs, said.append)
    assert said[-1].endswith("nothing changed")
    assert placing.others(docs) == [docs / "mine.md"]
    (docs / "claims.json").unlink()
    with pytest.raises(publishing.PublishError, match=r"claims\.json: is missing; restore it"):
        publishing.compare(docs)
