"""Small inputs and what has to become of them, checked by a hand."""

from __future__ import annotations

from zoopipe.testing import expected, staged, write_items
from zoopipe.testing.items import rejects_in


def test_items_are_as_written_here(tmp_path):
    source = write_items(tmp_path / "deep" / "in.csv", 2, bad=(2,))
    assert source.read_text() == (
        "id,name,price,day\n1,item 1,1.50,2024-01-02\nx2,item 2,2.50,2024-01-03\n"
    )
    assert expected(source).text == ('{"id":1,"name":"item 1","price":"1.50","day":"2024-01-02"}\n')
    (reject,) = expected(source).rejects
    assert (reject[0], reject[1][0]["type"], reject[1][0]["loc"]) == (2, "int_parsing", ["id"])


def test_items_have_quotes_and_newlines_when_not_plain(tmp_path):
    text = write_items(tmp_path / "in.csv", 5, plain=False, first=5).read_text()
    assert "5,plain 5," in text
    assert '6,"with, comma 6",' in text
    assert '7,"with ""quotes"" 7",' in text
    assert '8,"two\nlines 8",' in text


def test_rejects_are_numbers_and_errors(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": "x", "_row": 3, "_errors": [{"type": "t"}]}\n')
    assert rejects_in(tmp_path / "bad.jsonl") == [(3, [{"type": "t"}])]


def test_staged_finds_a_staging_folder(tmp_path):
    assert staged(tmp_path) == []
    (tmp_path / ".out.zoopipe-1").mkdir()
    assert staged(tmp_path) == [tmp_path / ".out.zoopipe-1"]
