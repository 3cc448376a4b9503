"""Word lists for reading a conversation: what points back, what confirms, what is mere courtesy.

Compiled by hand from plain English, none taken from a corpus and none of one field of life. All are in lower case. A word
missing from `GENERIC` or a courtesy missing here costs a hit; a pointer missing from `POINTERS` can cost a wrong one.
"""

from __future__ import annotations

from typing import Final

POINTERS: Final = frozenset(
    # what stands for something that was said
    "it its itself this that these those they them their theirs themselves he him his himself she her hers herself "
    "it's it'd it'll that's that'll this's they're they've they'd they'll he's he'd he'll she's she'd she'll "
    "here there there's then one ones both either neither another other others else instead again same such "
    "former latter previous previously aforementioned mentioned said above "
    # what adds to it or continues it
    "too also still yet already anymore further additional extra rest remaining left "
    # what is only clear beside it
    "afterwards beforehand meanwhile otherwise therefore "
    # the people who speak, and what is theirs
    "me my mine myself we we're we've we'd we'll us our ours ourselves i'm i've i'd i'll im ive your's "
    # contracted without an apostrophe, as people type
    "thats theyre theres hes shes".split()
)
"""Words that make a question lean on earlier turns, unless they are part of a phrase of `PHRASES`."""

COMPARATIVES: Final = frozenset(
    "cheaper better worse faster slower quicker bigger smaller larger longer shorter later earlier sooner higher lower "
    "less fewer more older newer nearer closer easier harder stronger weaker lighter heavier warmer colder hotter safer "
    "taller thinner thicker wider simpler healthier quieter stricter".split()
)
"""They compare with something that was said, where no "than" says with what."""

PHRASES: Final = (
    "at the same time",
    "tell me",
    "give me",
    "show me",
    "help me",
    "is there",
    "are there",
    "instead of",
    "other than",
    "such as",
    "as well as",
    "each other",
    "one another",
    "in other words",
    "for example",
    "more than one",
)
"""Phrases whose words point at nothing."""

WH: Final = frozenset("what what's whats which who who's whom whose when when's where where's why how how's".split())
QUESTIONS: Final = WH | frozenset(
    "is are was were do does did can could will would should has have may might must "
    "isn't aren't don't doesn't can't couldn't".split()
)
"""First words of a question."""

ORDERS: Final = frozenset(
    "explain describe define list compare translate summarise summarize write draft tell give show name "
    "convert calculate compute find outline prove solve classify rewrite generate compose".split()
)
"""First words of an order that can stand alone; what begins otherwise is taken for a fragment."""

OPENERS: Final = frozenset(
    "ok okay and so but well right alright fine cool great nice then also actually hmm um".split()
)
"""Words that may stand before a question that goes on with what was said."""

GENERAL_I: Final = frozenset({"can", "could", "may", "if"})
"""Before "I" they ask about anyone: can I use …; elsewhere "I" asks about the one who speaks: am I covered …"""

HOW_I: Final = frozenset({"how", "where"})
"""Before "do I", "would I", "should I" they ask for a procedure."""

UNIQUE: Final = frozenset(
    "sun moon earth world internet web sky sea ocean universe future environment economy public police weekend "
    "most least main maximum minimum average usual typical normal correct right proper".split()
)
"""After "the" they point at nothing that was said: there is one of them, or they are superlatives."""

JOINS: Final = frozenset({"a", "an", "and", "or"})
"""Words that may stand between a preposition and the last of the names after it."""

OF: Final = frozenset(
    "of for between in on at from to with about behind after before during against by near under over into via within without".split()
)
"""After a noun they say which one is meant: the capital of, the difference between."""

CHOICES: Final = frozenset(
    "first second third fourth fifth last former latter both either neither option options all none any 1st 2nd 3rd 4th "
    "number choice one ones other".split()
)
"""They choose from what was offered."""

ABLE: Final = frozenset({"can", "could", "will", "would"})
"""Before "you" they order: can you book it?"""

DONE: Final = frozenset({"it", "that", "this", "so", "both", "them"})
"""After "do" they consent: do it."""

GENERIC: Final = frozenset(
    "long time take much cost price charge fee pay payment include available option detail thing way work happen mean "
    "start stop begin end open close closed offer have use need want get go come make do change cancel book order buy add "
    "remove send receive give show check call contact ask help day week month year hour minute date number name type kind "
    "sort size amount people person good bad new old big small high low free full possible different normal long short "
    "information info info information reason problem issue question answer example part place side item step set put "
    "see look keep leave move turn try allow let require apply work available like anything something everything "
    "someone anyone everyone allowed actually possible total extra back away ready right left next last first "
    "mandatory necessary enough early late soon later usually expect return refund it deal plan along".split()
)
"""Words that fit any subject: they don't say what a question is about. Compared by stem."""

INSTRUCTIONS: Final = (
    r"from now on",
    r"(?:in|for) (?:the rest of|all|every|each|any|your) (?:this|your|the|further|following|next|future|answers?|replies|reply)",
    r"(?:answer|reply|respond|speak|talk|write|explain|say|phrase)(?: \w+){0,4} (?:in|as|like|with|without|only|using|under) ",
    r"(?:pretend|imagine|suppose|act as|role ?play|behave|you are (?:a|an|my|the|now)|you're (?:a|an|my|the|now)) ",
    r"(?:always|never|don't|do not|please|only|stop|avoid) (?:answer|reply|respond|use|using|say|saying|give|giving|call|include|add|mention)",
    r"(?:keep|make) (?:it|them|this|that|your|the|all|answers?|replies)(?: \w+){0,3} (?:short|shorter|brief|simple|simpler|concise|formal|under|below|to|in)",
    r"(?:be|stay) (?:brief|short|concise|formal|informal|polite|honest|funny|critical|creative|strict)",
    r"(?:call|address) me ",
    r"(?:like|as if|as though) i(?:'m| am| was| were) ",
    r"(?:eli5|tl;?dr|step by step|bullet|markdown|json|yaml|metric|imperial|celsius|fahrenheit)\b",
    r"(?:one|two|three|a few|\d+) (?:words?|sentences?|lines?|paragraphs?|characters|bullets?)\b",
    r"remember (?:that|this|my|i)",
    r"(?:switch|change|translate) (?:\w+ ){0,3}(?:to|into) (?:english|french|german|spanish|italian|dutch|portuguese|polish)",
)
"""What a user says of how everything is to be answered, as regular expressions over lower case text."""

INTERJECTIONS: Final = frozenset(
    "hi hello hey hiya howdy heya folks greetings dear there cheers ta ok okay k great lovely perfect cool nice brilliant "
    "brill awesome wonderful fantastic excellent amazing super fab sweet fine alright right sure got understood noted makes "
    "sense sounds fair enough interesting wow oh ah aha hmm hm um uh er lol haha hahaha ha hehe heh phew ouch yikes gosh whoa "
    "ooh ugh certainly absolutely definitely of course good please bye goodbye sir madam so very".split()
)
"""A sentence of nothing but these says nothing, unless it answers a question."""

GOODWILL: Final = frozenset(
    "thanks thank thx appreciate appreciated help helping helped helps helpful assist sorry apologies glad happy pleased "
    "welcome pleasure else luck congratulations congrats useful handy".split()
)
"""So does one of these, the interjections and `GLUE`."""

GLUE: Final = frozenset(
    "about for to that that's this it it's you your you're i i'm i'd i'll we we're me my with anything something is was there "
    "can could do may what how would if let know hear any the and all at are lot lots a again today now much many big from "
    "in will be need further feel free just here".split()
)

COURTESIES: Final = (
    r"no (?:problem|worries|rush|trouble)",
    r"not (?:at all|a problem)",
    r"i?(?: )?hope (?:you're|you are|all is|everything is|this finds you) (?:doing )?(?:well|good|great|okay)",
    r"i?(?: )?hope (?:you're|you are) having a (?:good|great|nice|lovely) (?:day|week|weekend|morning|afternoon|evening)",
    r"i?(?: )?hope (?:you're|you are) having a (?:good|great|nice|lovely) (?:monday|tuesday|wednesday|thursday|friday)",
    r"i?(?: )?hope (?:you're|you are) having a (?:good|great|nice|lovely) (?:saturday|sunday|one)",
    r"hope (?:that|this|it) helps",
    r"how(?:'s it going| are you| are things| is it going)(?: doing)?(?: today)?",
    r"good (?:morning|afternoon|evening|day)",
    r"have a (?:nice|good|great|lovely) (?:day|one|evening|weekend|afternoon|morning|week)",
    r"bear with me",
    r"(?:please )?let me (?:have a look|take a look|look|check|see)(?: into)?(?: (?:that|this|it))?(?: for you)?",
    r"(?:just )?(?:one|a|just a) (?:moment|second|sec|minute)(?: please)?",
    r"take your time",
    r"(?:just )?(?:a )?(?:quick|silly|random|small|short|stupid) (?:one|question|q)(?: for you)?(?: please)?",
    r"can (?:you|i) (?:help|ask)(?: me)?(?: (?:with )?(?:something|a question))?(?: please)?",
)
"""Whole courtesies, as regular expressions over words in lower case with one blank between them."""

CLOSERS: Final = frozenset("please pls thanks cheers lol haha hahaha hehe tbh".split())
"""Words that say nothing at the end of a sentence."""

ADVICE: Final = (
    r"best|better|good|great|recommend(?:ed|ation|ations)?|suggest(?:ed|ion|ions)?|advi[cs]e|should|ideas?|tips?",
    r"recipes?|safe|suitable|healthy|worth|choose|pick",
)
"""What asks for advice."""

ONESELF: Final = (
    r"i am|i'm|im|i was|i have|i've|i had|i do not|i don't|i can not|i cannot|i can't|i live|i work|i want|i need|i prefer",
    r"i like|i love|i hate|i only|i just|i eat|i use|i play|i speak|i study|as an?|we are|we're|we have|we've|we live|my|our",
)
"""How a statement about the one who speaks begins."""
