from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from forebay.adapters.lab.scheduling import run
from forebay.adapters.lab.scheduling_logs import LEAST, read_log
from forebay.adapters.lab.scheduling_profile import BUILT_IN, ProfileError, dump_profile, find_profile, with_shape
from forebay.plugins import lab
from forebay.policies.simulation.simulator import Job, simulate
from forebay.policies.work.law import Law, Shape

if TYPE_CHECKING:
    from pathlib import Path

LAW = Law(0.012, 4e-5, 5e-5, 7e-8)


def served(count: int = LEAST) -> list[tuple[float, float, float, int, int]]:
    """Requests of an overloaded engine: queued, first token, last token, prompt, output."""
    draw = random.Random(4)
    jobs = [Job(0.1 * at, draw.randint(20, 400), draw.randint(3, 60)) for at in range(count)]
    courses = simulate(jobs, LAW, Shape(4, scheduled_ahead=True))
    return [
        (1000 + job.arrival_s, 1000 + (course.first_s or 0.0), 1000 + (course.ended_s or 0.0), job.prompt, job.output)
        for job, course in zip(jobs, courses, strict=True)
    ]


def lines(folder: Path) -> Path:
    names = ("queued_ts", "first_token_ts", "last_token_ts", "input_toks", "output_toks")
    path = folder / "engine__requests.jsonl"
    path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in served()), encoding="utf-8")
    return path


def detailed(folder: Path, **change: Any) -> Path:
    rows = served()
    content = {
        "input_lens": [prompt for *_, prompt, _ in rows],
        "output_lens": [output for *_, output in rows],
        "start_times": [start for start, *_ in rows],
        "ttfts": [first - start for start, first, *_ in rows],
        "itls": [[(end - first) / 2, (end - first) / 2] for _, first, end, *_ in rows],
        "errors": ["" for _ in rows],
        "request_rate": 10.0,
        **change,
    }
    path = folder / "bench.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_lines_and_what_is_known_of_the_engine(tmp_path: Path) -> None:
    path = lines(tmp_path)
    log = read_log(path)
    assert log.engine.name == "engine"
    assert (log.engine.max_num_seqs, log.engine.kv_tokens) == (4, None)
    assert len(log.guessed) == 2
    assert log.stays[0].entered_s == 0
    meta = {
        "engine_kwargs": {"max_num_seqs": 256, "max_num_batched_tokens": 1024},
        "kv_cache": {"num_gpu_blocks": 2588, "block_size": 16, "enable_prefix_caching": False},
        "resolved_config": {"scheduler_config": {"async_scheduling": False}},
    }
    (tmp_path / "engine__meta.json").write_text(json.dumps(meta), encoding="utf-8")
    engine = read_log(path).engine
    assert (engine.max_num_seqs, engine.kv_tokens, engine.max_num_batched_tokens) == (256, 16 * 2587, 1024)
    assert (engine.prefix_cache, engine.scheduled_ahead) == (False, False)
    assert not read_log(path).guessed
    assert read_log(path, "max_num_seqs=32").engine.max_num_seqs == 32


def test_vllms_own_result_tells_the_same(tmp_path: Path) -> None:
    ours, theirs = read_log(lines(tmp_path)), read_log(detailed(tmp_path))
    assert theirs.engine.name == "bench"
    for one, other in zip(ours.stays, theirs.stays, strict=True):
        assert one.entered_s == pytest.approx(other.entered_s, abs=1e-6)
        assert one.first_s == pytest.approx(other.first_s, abs=1e-6)
        assert one.ended_s == pytest.approx(other.ended_s, abs=1e-6)
        assert (one.prompt, one.output) == (other.prompt, other.output)


def test_requests_that_failed_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=f"{LEAST - 1} requests"):
        read_log(detailed(tmp_path, errors=["refused", *[""] * (LEAST - 1)]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start_times": None}, "start_times missing"),
        ({"ttfts": [1.0]}, "not as many each"),
        ({"itls": ["x"] * LEAST}, "not numbers"),
    ],
)
def test_results_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        read_log(detailed(tmp_path, **change))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"queued_ts": 1}', "first_token_ts"),
        ("nonsense", "--save-detailed"),
        (
            '{"queued_ts": 3, "first_token_ts": 2, "last_token_ts": 4, "input_toks": 1, "output_toks": 1}',
            "follow each other",
        ),
        ("", "0 requests"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError, match=said):
        read_log(path)


def test_calibrate_writes_a_profile_that_can_be_used(tmp_path: Path) -> None:
    out = io.StringIO()
    target = tmp_path / "mine.json"
    trace = tmp_path / "trace.csv"
    trace.write_text("ts_s,input_tokens,output_tokens\n" + "".join(f"{at},50,9\n" for at in range(9)), encoding="utf-8")
    words = ["--calibrate", lines(tmp_path), "--save-profile", target]
    assert run(lab.scheduling_tools(), [str(word) for word in words], Console(file=out, width=100)) == 0
    shown = out.getvalue()
    assert "first half → second" in shown
    assert "second half → first" in shown
    assert "max_num_seqs=4 (the most that decoded at once)" in shown
    made = find_profile(str(target))
    assert made.max_num_seqs == 4
    assert made.step_s + 4 * made.decode_s == pytest.approx(0.012 + 4 * 5e-5, rel=0.1)
    words = [trace, "--profile", target, "--policy", "fcfs+none", "--json", tmp_path / "out.json"]
    assert run(lab.scheduling_tools(), [str(word) for word in words], Console(file=out, width=100)) == 0
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["rows"][0]["profile"] == "engine"


def test_profiles_come_back_as_they_were(tmp_path: Path) -> None:
    for profile in BUILT_IN.values():
        path = tmp_path / "p.json"
        path.write_text(json.dumps(dump_profile(profile, "log")), encoding="utf-8")
        assert find_profile(str(path)) == profile
    changed = with_shape(BUILT_IN["rtx4090-llama-3.1-8b"], "kv_tokens=null,prefix_cache=false")
    assert (changed.kv_tokens, changed.prefix_cache) == (None, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_seqs": 3}, "unknown key 'max_seqs'"),
        ({"step_s": -1}, "'step_s' cannot be"),
        ({"max_num_seqs": True}, "'max_num_seqs' cannot be"),
        ({"prefix_cache": 1}, "'prefix_cache' cannot be"),
        ({"kv_tokens": 3}, "at least one block"),
        ({"step_s": 0, "prefill_s": 0, "decode_s": 0, "kv_s": 0}, "some time"),
    ],
)
def test_profiles_that_cannot_be(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "p.json"
    content = {**dump_profile(BUILT_IN["rtx4090-llama-3.1-8b"], "log"), **change}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ProfileError, match=said):
        find_profile(str(path))
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ProfileError, match="not a JSON object"):
        find_profile(str(path))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ProfileError, match="'step_s' is missing"):
        find_profile(str(path))
