from __future__ import annotations

import gzip
import io
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from forebay.adapters.embedders.hashing import HashingEmbedder
from forebay.adapters.lab.length import NO_VECTOR, SHIPPED, LengthTools, run
from forebay.adapters.lab.length_measure import kendall
from forebay.adapters.lab.length_rows import LengthsError, read_lengths
from forebay.middleware.errors import ForebayError
from forebay.policies.analysis.basic import BasicAnalyzer
from forebay.policies.length.predictor import LengthPredictor

if TYPE_CHECKING:
    from pathlib import Path

ROW = {
    "file",
    "mode",
    "answering_model",
    "predictor",
    "n",
    "kendall_tau",
    "coverage_q90",
    "mae_log",
    "us_per_request",
    "us_per_outcome",
}
TOOLS = LengthTools(predictor=LengthPredictor, embedder=HashingEmbedder, analyzer=BasicAnalyzer)
NUMBERS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=40)


def lines(count: int) -> list[dict[str, Any]]:
    chance = random.Random(6)
    made: list[dict[str, Any]] = []
    for at in range(count):
        long = at % 2 == 0
        tokens = round((500 if long else 60) * chance.lognormvariate(0, 0.2))
        prompt = f"Write an essay about number {at}." if long else f"Is {at} a prime?"
        made.append({"prompt": prompt, "out_tokens_est": {"one": tokens, "other": 2 * tokens}})
    return made


def written(path: Path, rows: list[Any]) -> Path:
    content = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def lab_run(*words: object, tools: LengthTools = TOOLS) -> tuple[int, str]:
    out = io.StringIO()
    status = run(tools, [*map(str, words)], Console(file=out, width=100))
    return status, out.getvalue()


def test_the_report(tmp_path: Path) -> None:
    path = written(tmp_path / "lengths.jsonl.gz", lines(120))
    status, shown = lab_run(path, "--skip", 40, "--json", tmp_path / "out.json")
    assert status == 0
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert report["command"] == "lab length"
    rows = report["rows"]
    assert all(row.keys() == ROW for row in rows)
    assert {row["file"] for row in rows} == {"lengths.jsonl.gz"}
    assert {row["mode"] for row in rows} == {"prequential", "5-fold"}
    means = {(row["mode"], row["predictor"]): row for row in rows if row["answering_model"] == "mean"}
    assert {name for _, name in means} == {SHIPPED, NO_VECTOR, "prompt length", "running quantiles"}
    assert means["prequential", SHIPPED]["n"] == 160
    assert means["5-fold", SHIPPED]["n"] == 240
    for mode in ("prequential", "5-fold"):
        assert means[mode, SHIPPED]["kendall_tau"] > 0.4 > means[mode, "running quantiles"]["kendall_tau"]
        assert means[mode, SHIPPED]["us_per_request"] > 0
    assert {row["answering_model"] for row in rows} == {"mean", "one", "other"}
    assert "running quantiles" in shown


def test_without_vectors_and_folds(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"Say {at}."}], "output_tokens": 5 + at} for at in range(30)]
    path = written(tmp_path / "lengths.jsonl", rows)
    status, _ = lab_run(path, "--skip", 10, "--folds", 0, "--no-vectors", "--json", tmp_path / "out.json")
    assert status == 0
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["rows"]
    assert [row["predictor"] for row in found] == [SHIPPED, "prompt length", "running quantiles"]
    assert {row["mode"] for row in found} == {"prequential"}
    assert {row["answering_model"] for row in found} == {"engine"}


def test_a_picture_of_each_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one, two = (written(tmp_path / f"{name}.jsonl", lines(60)) for name in ("one", "two"))
    lab_run(one, two, "--skip", 10, "--folds", 2, "--plot", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out-two.png").read_bytes().startswith(b"\x89PNG")


def test_tenants_and_models_are_read(tmp_path: Path) -> None:
    row = {"prompt": "Hello", "output_tokens": 7, "model": "big", "tenant": "us"}
    (found,) = read_lengths(written(tmp_path / "x.jsonl", ["", row, ""]))
    assert (found.tokens, found.tenant) == ({"big": 7}, "us")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "JSON object"),
        ({"output_tokens": 3}, "either 'prompt'"),
        ({"prompt": 3, "output_tokens": 3}, "either 'prompt'"),
        ('{"messages": [], "output_tokens": 3}', "either 'prompt'"),
        ('{"prompt": "secret", "messages": [{}], "output_tokens": 3}', "either 'prompt'"),
        ({"prompt": "secret"}, "either 'output_tokens'"),
        ({"prompt": "secret", "output_tokens": 0}, "at least 1"),
        ({"prompt": "secret", "output_tokens": True}, "at least 1"),
        ({"prompt": "secret", "output_tokens": float("inf")}, "at least 1"),
        ({"prompt": "secret", "out_tokens_est": {"a": "3"}}, "for each model"),
        ({"prompt": "secret", "output_tokens": 3, "model": 4}, "'model' must be text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: Any, said: str) -> None:
    path = written(tmp_path / "x.jsonl", [{"prompt": "fine", "output_tokens": 3}, line])
    with pytest.raises(LengthsError, match=said) as caught:
        read_lengths(path)
    assert "line 2" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(LengthsError, match=r"no rows|cannot be read"):
        read_lengths(tmp_path / "x.jsonl")


@pytest.mark.parametrize("words", [(), ("x.jsonl", "--skip", -1), ("x.jsonl", "--folds", 1), ("nowhere.jsonl",)])
def test_what_cannot_be_done_is_said(words: tuple[object, ...]) -> None:
    with pytest.raises(ForebayError, match=r"name a file|at least|cannot be read"):
        lab_run(*words)


def test_too_few_prompts(tmp_path: Path) -> None:
    with pytest.raises(ForebayError, match="too few"):
        lab_run(written(tmp_path / "x.jsonl", lines(4)))


@pytest.mark.parametrize(("words", "status"), [(("--help",), 0), (("--unknown",), 2)])
def test_usage(words: tuple[str, ...], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab_run(*words)[0] == status
    assert "forebay lab length" in "".join(capsys.readouterr())


@given(NUMBERS)
def test_kendall_is_what_counting_pairs_gives(pairs: list[tuple[int, int]]) -> None:
    left, right = [float(x) for x, _ in pairs], [float(y) for _, y in pairs]
    found = kendall(left, right)

    def sign(value: float) -> int:
        return (value > 0) - (value < 0)

    places = [(i, j) for i in range(len(pairs)) for j in range(i)]
    signs = [(sign(left[i] - left[j]), sign(right[i] - right[j])) for i, j in places]
    untied = sum(abs(x) for x, _ in signs) * sum(abs(y) for _, y in signs)
    if not untied:
        assert found is None
    else:
        assert found == pytest.approx(sum(x * y for x, y in signs) / untied**0.5)
