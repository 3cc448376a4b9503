"""A labelled stream of prompts: templates with fillings, among prompts of no template; and how well names fit labels."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from forebay.middleware.records import Request

# (system, template); {a} and {b} are slots
TEMPLATES = (
    ("", "Translate the following sentence into French: {a}"),
    ("", "Translate the following sentence into German: {a}"),
    ("", "Summarise the text below in one sentence.\n\n{a} {b}"),
    ("", "Summarise the text below in three bullet points, each of at most ten words.\n\n{a} {b}"),
    ("", "{a}\n\nIs the sentiment of this review positive, negative or neutral? Answer with one word."),
    ("", "{a}\n\nRewrite this message so that it sounds polite and professional."),
    ("", "Extract all names of people and places from this text as a JSON list.\nText: {a}\nJSON:"),
    ("", "You will get a customer's question. Question: {a}\n\nReply with the department it should go to and nothing else."),
    ("", "Context: {a}\n\nQuestion: {b}\n\nAnswer the question using only the context above. If it is not there, say so."),
    ("", "Write a product description for an online shop. The product: {a}. Keep it under 80 words and mention delivery."),
    ("", ("Classify the ticket into billing, technical or other.\n\nTicket: I was charged twice. -> billing\n"
     "Ticket: The app crashes at start. -> technical\nTicket: {a} ->")),
    ("", ("Classify the ticket into urgent or normal.\n\nTicket: I was charged twice. -> urgent\n"
     "Ticket: The colour is odd. -> normal\nTicket: {a} ->")),
    ("", "Explain {a} to a child of five years in simple words, please, and end with a question."),
    ("", "Give me five ideas for {a}"),
    ("", "Correct spelling and grammar, keep the meaning, return only the corrected text: {a}"),
    ("", "###Instruction: fix the bug in the code.\n###Input: {a}\n###Response:"),
    ("", "Today is 2026-03-14. You are helping customer 48213. Their message was: {a}"),
    ("You are the support assistant of a bank. Be brief and never promise refunds.", "{a}"),
    ("You are the support assistant of a bank. Be brief and never promise refunds.",
     "Rate from 1 to 5 how angry this customer is, number only: {a}"),
    (("You turn questions into SQL for the tables orders(id, customer, total, day) and customers(id, name, town). Return SQL"
     " only, without a comment and without a code fence."), "{a}"),
    (("You are a tutor. You never give the solution away; you ask one question that leads the pupil on. You are patient, you"
     " praise what is right and you stay with the subject."), "My question is: {a}"),
    ("You are a helpful assistant.", "Write a haiku about {a}, and explain it afterwards in two sentences."),
    ("You are a helpful assistant.", "Write a limerick about {a}, and explain it afterwards in two sentences."),
    ("", "Here is a commit message: {a}\nHere is another: {b}\nWhich of the two is clearer? Answer A or B."),
)  # fmt: skip

_SYLLABLES = [first + second for first in "bdfgklmnprstv" for second in ("a", "e", "i", "o", "u", "an", "er")]


def sentences(seed: int, count: int) -> list[str]:
    """Return so many sentences of made-up words, as frequent as words are: the n-th with a share like 1/n."""
    source = random.Random(seed)
    words = ["".join(source.choices(_SYLLABLES, k=source.randint(1, 3))) for _ in range(2_000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    lengths = [source.randint(5, 25) for _ in range(count)]
    return [" ".join(source.choices(words, weights, k=length)) + source.choice(".?!") for length in lengths]


@dataclass(frozen=True)
class Labelled:
    request: Request
    label: int  # -1: of no template


def stream(
    seed: int, fillings: Sequence[str], free: Sequence[str], *, count: int, free_share: float = 0.5
) -> list[Labelled]:
    """Return a stream in which templates are drawn with shares like 1/rank, and free prompts come once each."""
    source = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(len(TEMPLATES))]
    order = source.sample(range(len(TEMPLATES)), len(TEMPLATES))
    alone = iter(free)
    found: list[Labelled] = []
    for at in range(count):
        prompt = next(alone, None) if source.random() < free_share else None
        if prompt is not None:
            found.append(Labelled(request(at, "", prompt), -1))
            continue
        label = order[source.choices(range(len(TEMPLATES)), weights)[0]]
        system, template = TEMPLATES[label]
        text = template.replace("{a}", source.choice(fillings)).replace("{b}", source.choice(fillings))
        if "2026-03-14" in text:
            text = text.replace("2026-03-14", f"2026-{at % 12 + 1:02}-{at % 28 + 1:02}")
            text = text.replace("48213", str(source.randrange(10_000, 99_999)))
        found.append(Labelled(request(at, system, text), label))
    return found


def request(at: int, system: str, text: str) -> Request:
    messages = [{"role": "system", "content": system}] if system else []
    return Request(f"r{at}", "small", [*messages, {"role": "user", "content": text}])


def agreement(labels: Sequence[int], names: Sequence[str]) -> tuple[float, float, float]:
    """Return homogeneity, completeness and their harmonic mean (Rosenberg and Hirschberg 2007)."""
    joint = Counter(zip(labels, names, strict=True))
    of_label, of_name = Counter(labels), Counter(names)
    total = len(labels)

    def entropy(counts: Counter[int] | Counter[str]) -> float:
        return -sum(count / total * math.log(count / total) for count in counts.values())

    given_name = -sum(count / total * math.log(count / of_name[name]) for (_, name), count in joint.items())
    given_label = -sum(count / total * math.log(count / of_label[label]) for (label, _), count in joint.items())
    h = 1 - given_name / entropy(of_label) if len(of_label) > 1 else 1.0
    c = 1 - given_label / entropy(of_name) if len(of_name) > 1 else 1.0
    return h, c, 2 * h * c / (h + c) if h + c else 0.0
