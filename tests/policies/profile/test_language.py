# ruff: noqa: RUF001  (letters of other languages)
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.profile.language import UNKNOWN, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of France?", "en"),
        ("Wie lange dauert es, bis meine Karte ankommt?", "de"),
        ("Quelle est la différence entre un virus et une bactérie ?", "fr"),
        ("¿Cuál es la mejor forma de aprender a nadar?", "es"),
        ("Qual é a melhor maneira de aprender a nadar?", "pt"),
        ("Qual è il modo migliore per imparare a nuotare?", "it"),
        ("Wat is de beste manier om te leren zwemmen?", "nl"),
        ("Vad är det bästa sättet att lära sig simma?", "sv"),
        ("Hvad er den bedste måde at lære at svømme på?", "da"),
        ("Hva er den beste måten å lære å svømme på?", "no"),
        ("Mikä on paras tapa oppia uimaan?", "fi"),
        ("Jaki jest najlepszy sposób na naukę pływania?", "pl"),
        ("Jaký je nejlepší způsob, jak se naučit plavat?", "cs"),
        ("Aký je najlepší spôsob, ako sa naučiť plávať?", "sk"),
        ("Care este cel mai bun mod de a învăța să înoți?", "ro"),
        ("Mi a legjobb módja annak, hogy megtanuljak úszni?", "hu"),
        ("Yüzmeyi öğrenmenin en iyi yolu nedir ve ne kadar sürer?", "tr"),
        ("Bagaimana cara terbaik untuk belajar berenang?", "id"),
        ("Cách tốt nhất để học bơi là gì?", "vi"),
        ("Quina és la millor manera d'aprendre a nedar?", "ca"),
        ("Koji je najbolji način da se nauči plivati?", "hr"),
        ("Какой лучший способ научиться плавать?", "ru"),
        ("Який найкращий спосіб навчитися плавати?", "uk"),
        ("Кой е най-добрият начин да се науча да плувам?", "bg"),
        ("Који је најбољи начин да научим да пливам?", "sr"),
        ("Ποιος είναι ο καλύτερος τρόπος να μάθω κολύμπι;", "el"),
        ("מהי הדרך הטובה ביותר ללמוד לשחות?", "he"),
        ("ما هي أفضل طريقة لتعلم السباحة؟", "ar"),
        ("بهترین راه برای یادگیری شنا چیست؟", "fa"),
        ("तैरना सीखने का सबसे अच्छा तरीका क्या है?", "hi"),
        ("泳ぎを覚える一番よい方法は何ですか。", "ja"),
        ("学会游泳的最好方法是什么?", "zh"),
        ("수영을 배우는 가장 좋은 방법은 무엇인가요?", "ko"),
        ("วิธีที่ดีที่สุดในการเรียนว่ายน้ำคืออะไร", "th"),
        # names and terms of another language
        ("请解释 Kubernetes 的 Horizontal Pod Autoscaler 是如何工作的", "zh"),
        ("What does 你好,世界 mean, and how is it said?", "en"),
        ("Объясни, как работает цикл for в Python", "ru"),
        # nothing to tell by
        ("", UNKNOWN),
        ("42 + 17 = ?", UNKNOWN),
        ("kubectl nginx postgres", UNKNOWN),
        ("Kwa kuwa kukiri heshima ya asili na haki sawa kwa binadamu wote", UNKNOWN),
    ],
)
def test_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_long_text_is_read_to_where_it_is_clear() -> None:
    assert (
        language_of("kubectl nginx postgres redis; " * 8 + "Was macht diese Abfrage, und wie wird sie schneller?")
        == "de"
    )


@given(st.text())
def test_any_text_has_a_code(text: str) -> None:
    language = language_of(text)
    assert language == UNKNOWN or (len(language) == 2 and language.islower())
