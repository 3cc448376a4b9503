"""The model folder appears whole or not at all, and is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vllm import model

GGUF = Path("a.gguf")
WHOLE = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class Converter:
    """Writes some files in place of a model's."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.calls = 0

    def __call__(self, gguf: Path, folder: Path) -> None:
        self.calls += 1
        for name in self.names:
            (folder / name).write_text(gguf.name)


def test_it_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converter = Converter(*WHOLE)
    monkeypatch.setattr(model, "_convert", converter)
    for _ in range(2):
        model.make(tmp_path / "share" / "tiny", GGUF)
    assert converter.calls == 1
    assert {path.name for path in (tmp_path / "share" / "tiny").iterdir()} == set(WHOLE)
    assert [path.name for path in (tmp_path / "share").iterdir()] == ["tiny"]


@pytest.mark.parametrize("missing", WHOLE)
def test_one_that_lacks_a_file_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    Converter(*(name for name in WHOLE if name != missing))(GGUF, tmp_path)
    (tmp_path / "left-over").touch()
    monkeypatch.setattr(model, "_convert", Converter(*WHOLE))
    model.make(tmp_path, GGUF)
    assert {path.name for path in tmp_path.iterdir()} == set(WHOLE)


def test_a_conversion_that_ends_early_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_convert", Converter("config.json"))
    with pytest.raises(SystemExit, match=r"a\.gguf gave \['config\.json'\]"):
        model.make(tmp_path / "tiny", GGUF)
    assert list(tmp_path.iterdir()) == []
