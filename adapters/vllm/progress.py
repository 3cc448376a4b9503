"""vLLM's progress bar, over all prompts of a call, kept answers included."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Progress:
    """A bar as ``LLM.generate`` shows one; it counts choices, as vLLM does.

    Args:
        use_tqdm: what vLLM was given: whether there is a bar, or what makes it.
        total: choices that are asked for.
    """

    def __init__(self, use_tqdm: Any, total: int) -> None:
        self._bar: Any = None
        self._read = self._written = 0
        if use_tqdm:
            make = use_tqdm if callable(use_tqdm) else import_module("tqdm").tqdm
            self._bar = make(total=total, desc="Processed prompts", dynamic_ncols=True, postfix=self._speeds(0.0))

    def done(self, output: Any) -> None:
        """Count one prompt's output."""
        if self._bar is None:
            return
        self._read += len(output.prompt_token_ids or ()) * len(output.outputs)
        self._written += sum(len(one.token_ids) for one in output.outputs)
        self._bar.postfix = self._speeds(self._bar.format_dict["elapsed"])
        self._bar.update(len(output.outputs))

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()

    def _speeds(self, elapsed_s: float) -> str:
        read, written = (count / elapsed_s if elapsed_s > 0 else 0.0 for count in (self._read, self._written))
        return f"est. speed input: {read:.2f} toks/s, output: {written:.2f} toks/s"
