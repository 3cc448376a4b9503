"""Word lists for comparing two questions: opposites, near-synonyms, words that change what is asked.

Compiled by hand from plain English; all words are in lower case. `ANTONYMS` and `SYNONYMS` are compared by stem
(`words.stem`), so one form of a word stands for all. A missing synonym costs a hit, a missing antonym can cost a wrong
one: synonyms are therefore narrow, antonyms many.
"""

from __future__ import annotations

from typing import Final

QUESTION_WORDS: Final = frozenset({"who", "when", "where", "why"})
"""Words that ask for different kinds of answer; what, which and how go with any of them."""

ANY_QUESTION_WORDS: Final = QUESTION_WORDS | {"what", "which", "how", "whose", "whom"}

AUXILIARIES: Final = frozenset(
    "is are was were am do does did can could should would will shall may might must has have had".split()
)
"""First words of a question that wants a yes or a no."""

POSSESSIVES: Final = frozenset({"my", "your", "his", "her", "our", "their"})

GENDERS: Final = {"he": "m", "him": "m", "his": "m", "she": "f", "her": "f", "hers": "f"}

ANTONYMS: Final = tuple(
    (left, right)
    for left, _, right in (
        pair.partition("/")
        for pair in (
            "enable/disable before/after increase/decrease increase/reduce raise/lower include/exclude open/close "
            "open/shut start/stop start/end begin/end first/last add/remove add/delete add/subtract create/delete "
            "install/uninstall upgrade/downgrade lock/unlock accept/decline accept/reject approve/reject approve/deny "
            "allow/forbid allow/prevent allow/deny allow/block permit/prohibit pause/resume buy/sell borrow/lend "
            "win/lose gain/lose rise/fall grow/shrink best/worst better/worse good/bad most/least more/less more/fewer "
            "max/min maximum/minimum high/low highest/lowest higher/lower large/small largest/smallest big/small "
            "biggest/smallest bigger/smaller long/short longest/shortest longer/shorter tall/short tallest/shortest "
            "fast/slow fastest/slowest faster/slower quick/slow hot/cold hottest/coldest warm/cool warm/cold "
            "wet/dry hard/soft hard/easy difficult/easy easy/complex easiest/hardest strong/weak heavy/light "
            "heaviest/lightest light/dark bright/dark old/new old/young oldest/youngest oldest/newest older/younger "
            "early/late earliest/latest earlier/later early/latest cheap/expensive cheapest/expensive cheap/dear rich/poor "
            "safe/dangerous safe/unsafe safe/hazardous safe/harmful true/false right/wrong correct/wrong correct/incorrect "
            "yes/no positive/negative public/private internal/external inside/outside indoor/outdoor indoors/outdoors "
            "above/below over/under top/bottom front/back left/right north/south east/west northern/southern "
            "eastern/western up/down in/out on/off to/from upper/lower upload/download push/pull import/export "
            "send/receive give/take deposit/withdraw credit/debit income/expense profit/loss asset/liability "
            "supply/demand employer/employee landlord/tenant teacher/student doctor/patient buyer/seller lender/borrower "
            "parent/child adult/child adult/kid man/woman men/women male/female boy/girl husband/wife father/mother "
            "brother/sister son/daughter king/queen husband/wife uncle/aunt nephew/niece mens/womens "
            "before/since ancient/modern past/future past/present previous/next previous/current last/next "
            "yesterday/tomorrow day/night morning/evening morning/afternoon summer/winter spring/autumn weekday/weekend "
            "sunrise/sunset birth/death born/die alive/dead married/single love/hate like/dislike agree/disagree "
            "benefit/drawback benefit/risk advantage/disadvantage pro/con pros/cons strength/weakness success/failure "
            "succeed/fail pass/fail cause/effect cause/prevent cause/cure improve/damage improve/worsen help/harm build/destroy "
            "attack/defend friend/enemy optional/compulsory optional/mandatory optional/required voluntary/mandatory "
            "temporary/permanent fixed/variable static/dynamic synchronous/asynchronous serial/parallel "
            "horizontal/vertical row/column absolute/relative abstract/concrete active/passive active/inactive "
            "online/offline online/paper client/server read/write encode/decode encrypt/decrypt compress/decompress "
            "encrypted/plain ascending/descending even/odd singular/plural numerator/denominator multiply/divide "
            "integrate/differentiate acid/base acidic/alkaline liquid/solid liquid/gas solid/gas freeze/melt boil/freeze "
            "freezing/boiling evaporate/condense inhale/exhale vegan/meat vegetarian/meat busy/quiet loud/quiet "
            "noisy/quiet empty/full clean/dirty cleaned/dirty sharp/blunt thick/thin wide/narrow deep/shallow near/far "
            "common/rare simple/complex spicy/mild sweet/sour raw/cooked fresh/stale dead/living arrive/depart "
            "arrival/departure enter/leave enter/exit entrance/exit join/leave hire/fire attach/detach connect/disconnect "
            "mount/unmount show/hide visible/hidden mute/unmute follow/unfollow subscribe/unsubscribe sync/async "
            "domestic/international local/remote local/global major/minor majority/minority minimize/maximize "
            "minimise/maximise wholesale/retail lend/borrow rent/own gross/net offence/defence guilty/innocent "
            "legal/illegal lawful/unlawful lawful/illegal winner/loser ally/enemy bull/bear bullish/bearish "
            "introvert/extrovert optimist/pessimist vertex/edge stack/queue hardware/software lossy/lossless"
        ).split()
    )
)

PREFIXES: Final = ("un", "in", "im", "il", "ir", "non", "dis", "de", "mis", "anti", "a")
"""Prefixes that turn a word into its opposite: safe and unsafe."""

PREFIX_SWAPS: Final = (
    ("up", "down"),
    ("over", "under"),
    ("in", "ex"),
    ("im", "ex"),
    ("in", "out"),
    ("en", "dis"),
    ("en", "de"),
    ("in", "de"),
    ("as", "des"),
    ("at", "de"),
    ("pre", "post"),
    ("hyper", "hypo"),
    ("inter", "intra"),
    ("macro", "micro"),
    ("max", "min"),
    ("homo", "hetero"),
    ("endo", "exo"),
    ("sub", "super"),
    ("mono", "poly"),
    ("uni", "multi"),
)
"""Prefixes that turn each other's words into opposites: upgrade and downgrade."""

SYNONYMS: Final = tuple(
    tuple(group.split())
    for group in (
        "cancel end terminate, change update edit modify alter, switch change, buy purchase, "
        "finish end complete, fix repair mend, fit install, make create build, make submit send file lodge, "
        "send email, get obtain receive, delete remove erase, close shut, choose select pick, show display, "
        "find locate, check verify, book reserve, booking reservation, register enrol enroll, "
        "qualify entitle eligible, include cover contain come, happen occur, cause lead, use utilise utilize, "
        "fast quick quickly rapid rapidly, big large, small little, smart intelligent clever, last final, "
        "previous earlier prior, main major primary chief, famous known, quotation quote, "
        "price cost fee charge rate, fee charge price cost pay, refund reimbursement, result grade mark, "
        "road street, photo picture image, film movie, car automobile, mobile phone cellphone, "
        "phone telephone, flight plane, luggage baggage, shop store, trip journey, job work, error mistake, "
        "method technique, difference distinction differ, meaning mean definition define, example instance, "
        "country nation, city town, kids child children, people person, men man, women woman, "
        "company firm business, difficult hard tough, easy simple, common frequent, important significant, "
        "number figure, rule regulation, law legislation, symptom sign, effect consequence, "
        "answer reply respond response, begin start commence, amount quantity, advantage benefit, "
        "disadvantage drawback downside, improve enhance better, earn make, learn study, lose drop, "
        "reason why, guarantee warranty, app application, repo repository, docs documentation document, "
        "info information, config configuration, database db, pc computer, tv television, "
        "exam test examination, quickest fastest, biggest largest, photo photograph, site website, "
        "legit legitimate, tall height, win won, buy bought, send sent, make made, pay paid, lose lost, "
        "write wrote written, build built, learn learnt, mean meant, begin began begun, break broke broken, "
        "choose chose chosen, speak spoke spoken, think thought, forget forgot forgotten, easy easily, "
        "centre center, theatre theater, metre meter, litre liter, licence license, programme program, "
        "catalogue catalog, grey gray, cheque check, tyre tire, uni university"
    ).split(", ")
)
"""Groups of words that may stand for each other in a question that is otherwise the same."""

SUBJECTS: Final = {
    **{word: word for word in ("when", "where", "why", "how", "what")},
    **dict.fromkeys(("who", "whom", "whose"), "who"),
    "which": "what",
}
"""Question words and what they ask for."""

HOW_MUCH: Final = frozenset(
    f"how {word}" for word in "many much long often far old big high tall deep fast hard well soon late early".split()
)
"""What asks for a measure."""

PREPOSITIONS: Final = frozenset(
    "in on for with without near from at by during after before to than like as about under over since until".split()
)

PERSONS: Final = frozenset("i you he she we they my your his her our their".split())

DEGREES: Final = frozenset(
    "best worst most more less least only all any some every each never always first last other than same different "
    "new free".split()
)
"""Words of degree, scope and rank: all of it or some, the first or any."""

FURTHER: Final = frozenset("and also then but instead plus now before after finally".split())
"""First words of what is asked for beside a question."""

OVERRIDING: Final = frozenset(
    "ignore disregard forget override instead pretend answer respond reply output print translate also".split()
)
"""Words of an instruction that was put behind a question, or in front of it."""
