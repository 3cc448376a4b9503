from __future__ import annotations

import gc
import inspect
from typing import TYPE_CHECKING, Any

import litellm

from forebay.adapters.litellm.thrift import remember_signatures, set_start_up_aside, skip_the_logging_thread

if TYPE_CHECKING:
    import pytest


def test_of_the_callbacks_only_the_cache_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "success_callback", ["langfuse", "cache", print, "cache"])
    skip_the_logging_thread()
    assert litellm.success_callback == ["langfuse", print]
    skip_the_logging_thread()


def test_a_remembered_signature_is_the_right_one() -> None:
    call: Any = litellm.acompletion
    inner = inspect.unwrap(call)
    if hasattr(inner, "__signature__"):
        del inner.__signature__
    found = inspect.signature(call)
    remember_signatures()
    remembered = inspect.signature(inner)
    assert list(remembered.parameters) == list(found.parameters)
    assert inspect.signature(inner) is remembered


def test_what_is_there_is_not_collected_again() -> None:
    try:
        set_start_up_aside()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
