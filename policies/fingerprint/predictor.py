"""Fingerprints of prompts: which template they are of, and which beginnings they share."""

from __future__ import annotations

import base64
import binascii
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from ...middleware.analysis.facts import Fingerprint
from .prefix import BLOCK_BYTES, MAX_BLOCKS, prefix_chain
from .prompt import prompt_of
from .table import AgeingCounts
from .templates import SEEN, Templates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import Outcome, RequestFacts, Subject
    from ...middleware.records import JsonObject

SCHEMA: Final = 1
KEPT: Final = 16_384
"""Counts in a snapshot, those above one and the latest: at most 400 kB with all else."""
NAMES: Final = 2_048
_SEEDS: Final = 1_024
_MAX_COUNT: Final = 2**32 - 1


class FingerprintPredictor:
    """Fills `RequestFacts.fingerprint`.

    Templates are learned from the prompts that are predicted for, each distinct prompt once, and apart for every tenant and
    model. Chains are over the prompt alone, so that they agree across tenants as the blocks of an engine's prefix cache do,
    and apart for every model. `learn` has nothing to learn: no outcome says what a prompt's template was. What is measured
    instead is how many of the prompts given a name got one that had been given before.

    Args:
        seed: all digests are keyed with it, so that nobody can look for a prompt by its digests.
    """

    def __init__(self, seed: bytes = b"") -> None:
        self._seed = blake2b(seed, digest_size=32).digest()
        self._known: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        self._templates = Templates()
        self._names = AgeingCounts(NAMES)
        self._prompts = self._named = self._again = 0
        self._constant = 0.0

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the facts with the prompt's fingerprint; as they are for embeddings."""
        request = subject.request
        if request.endpoint == "embeddings":
            return subject.facts
        of_model, of_tenant = self._seeds(request.tenant, request.model)
        beginning, system, asked = prompt_of(request, BLOCK_BYTES * MAX_BLOCKS)
        chain = prefix_chain(beginning, of_model)
        found = self._templates.find(of_tenant, system, asked)
        if found.fresh:
            self._prompts += 1
            if found.name:
                self._named += 1
                self._constant += found.constant
                self._again += self._names.add(int(found.name, 16)) > 1
        return subject.facts.having(fingerprint=Fingerprint(found.name, found.constant, chain))

    def learn(self, outcome: Outcome) -> None:
        """Do nothing: the prompt was counted when it was predicted for."""

    def report(self) -> Sequence[JsonObject]:
        """Return one row: what share of distinct prompts had a template, and how well the names hold."""
        named = max(1, self._named)
        row = {
            "predictor": "fingerprint",
            "n": self._prompts,
            "named": self._named / max(1, self._prompts),
            "named_again": self._again / named,
            "mean_constant": self._constant / named,
            "beginnings": len(self._templates.counts),
        }
        return [row]

    def snapshot(self) -> JsonObject:
        """Return the counts, without those of what was seen once."""
        counts = self._templates.counts.items(KEPT, at_least=2)
        return {
            "schema": SCHEMA,
            "counts": _packed("Q", [key for key, _ in counts]),
            "times": _packed("I", [min(count, _MAX_COUNT) for _, count in counts]),
            "seen": _packed("Q", [key for key, _ in self._templates.seen.items(SEEN)]),
            "names": _packed("Q", [key for key, _ in self._names.items(NAMES)]),
            "figures": [self._prompts, self._named, self._again, self._constant],
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another one's; nothing changed.
        """
        if state["schema"] != SCHEMA:
            raise ValueError("the fingerprints were kept by another version")
        counts, times = _unpacked("Q", state["counts"]), _unpacked("I", state["times"])
        seen, names = _unpacked("Q", state["seen"]), _unpacked("Q", state["names"])
        prompts, named, again, constant = (float(value) for value in state["figures"])
        if not 0 <= again <= named <= prompts or not 0 <= constant <= named:
            raise ValueError("the figures of the fingerprints do not fit together")
        kept = list(zip(counts, times, strict=True))
        self._templates.counts.replace(kept)
        self._templates.seen.replace((key, 1) for key in seen)
        self._names.replace((key, 1) for key in names)
        self._prompts, self._named, self._again, self._constant = int(prompts), int(named), int(again), constant

    def _seeds(self, tenant: str, model: str) -> tuple[bytes, bytes]:
        """Return what chains and what templates are keyed with."""
        seeds = self._known.get((tenant, model))
        if seeds is None:
            if len(self._known) >= _SEEDS:
                self._known.clear()
            seeds = self._digest("model", model), self._digest("tenant", tenant, model)
            self._known[tenant, model] = seeds
        return seeds

    def _digest(self, *fields: str) -> bytes:
        raw = (field.encode("utf-8", "surrogatepass") for field in fields)
        return blake2b(b"\x1f".join(raw), key=self._seed, digest_size=16).digest()


def _packed(kind: str, values: Sequence[int]) -> str:
    numbers: array[int] = array(kind, values)
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _unpacked(kind: str, text: Any) -> list[int]:
    if not isinstance(text, str):
        raise TypeError("no text")
    numbers: array[int] = array(kind)
    try:
        numbers.frombytes(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return numbers.tolist()
