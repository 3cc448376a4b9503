"""Which part of a text is code: fenced blocks, and lines that look like it."""

from __future__ import annotations

import re
from itertools import repeat
from typing import Final

_LINES_IN: Final = 600
"""Of a longer text outside of fences the lines in the first characters stand for the rest."""
_FENCE: Final = "```"
_SIGNS: Final = bytes.maketrans(b"{}[]=<>;|&", b"\x01" * 10)
_CALL: Final = re.compile(r"\w\(")
_DENSE: Final = 0.06
"""Signs and calls a character from which a line is code; prose has less than a third of that."""
_OPENS: Final = re.compile(
    r"(?:def|class)\s+\w+.*:$|(?:import|from)\s+[\w.]+(?:\s+import\b.*|\s+as\s+\w+)?;?$|(?:if|elif|for|while|with)\b.*[\w)\]\"']:$"
    r"|(?:try|else|finally|do):?$|except\b.*:$|return\b[^.?!]*$|#\s*(?:include|define|ifn?def|endif|pragma|!/)|//|/\*|\*/|<!--|</?\w+[^<>]*>$"
    r"|(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE (?:TABLE|INDEX|VIEW)|FROM|WHERE|(?:INNER |LEFT )?JOIN|GROUP BY|ORDER BY)\s"
    r"|(?:public|private|protected|static|const|let|var|function|func|fn|struct|enum|package|using|namespace)\s+\w[^.?!]*$"
    r"|[$>%]\s?(?:sudo|pip|npm|git|docker|kubectl|curl|cd|ls|python)\b|@\w+(?:\(.*\))?$|[\w.]+\(.*\)$"
)
_STARTS: Final = frozenset(
    "def class import from if elif for while with try: else: finally: do except except: return SELECT INSERT UPDATE DELETE"
    " CREATE FROM WHERE INNER LEFT JOIN GROUP ORDER public private protected static const let var function func fn struct enum"
    " package using namespace".split()
)
_MARKS: Final = frozenset("#/<@$>%*}])")
_PROSE: Final = re.compile(r"(?:for|if|with|while|else)\b(?!.*[=()<>\[\]]| \w+ in )|from [a-z]+$")
_LISTED: Final = re.compile(r"[-*+•>]|\(?\w{1,3}[.)]\s")
_FORMULA: Final = re.compile(r"\$[^$]+\$|\\[a-zA-Z]{3,}")
_BLANKS: Final = " \t"


def split_code(text: str) -> tuple[int, str]:
    """Return how many characters of a text are code, and its beginning without code.

    Code are fenced blocks; outside of these, lines that begin or end as statements do, lines dense with signs (formulas in
    TeX are not), and lines indented under such.
    """
    fenced = 0
    if _FENCE in text:
        pieces = text.split(_FENCE)[::2]
        fenced = len(text) - sum(map(len, pieces))
        text = "\n".join(pieces)
    outside = len(text)
    text = text[:_LINES_IN]
    # in ASCII alone translating is quick
    marked = text.encode("ascii", "replace").translate(_SIGNS)
    counts = [line.count(1) for line in marked.split(b"\n")] if 1 in marked else repeat(0)
    code = 0
    kept: list[str] = []
    inside = False
    for line, count in zip(text.split("\n"), counts, strict=False):  # the counts may have no end
        bare = line.strip()
        if not bare:
            continue
        plain = not count and bare[-1] != ")" and bare[0] not in _MARKS and bare.partition(" ")[0] not in _STARTS
        if plain and not inside:
            kept.append(bare)  # nearly every line of prose: without a call
            continue
        inside = _is_code(bare, count, plain=plain, indented=line[0] in _BLANKS, inside=inside)
        if inside:
            code += len(line) + 1
        else:
            kept.append(bare)
    if outside > _LINES_IN:
        code = code * outside // _LINES_IN
    return fenced + code, "\n".join(kept)


def _is_code(line: str, signs: int, *, plain: bool, indented: bool, inside: bool) -> bool:
    if not plain and _OPENS.match(line) and not _PROSE.match(line):
        return True
    if indented and inside and not _LISTED.match(line):
        return True
    if not signs:
        return False
    if line[-1] in "{};" and (signs > 1 or len(line) < 80):  # noqa: PLR2004  (a sentence that ends so is longer)
        return True
    return signs + len(_CALL.findall(line)) >= max(2.0, _DENSE * len(line)) and not _FORMULA.search(line)
