"""Cues of what changes within weeks; a thing of the past does not."""

from __future__ import annotations

from typing import Final

from ...middleware.analysis.facts import Volatility
from .cue import Cue, cue

LASTING: Final[tuple[Cue, ...]] = (
    # weeks; a past or a fixed thing is not among them
    cue(
        Volatility.TIMELESS,
        "past",
        "emperor in since before after of by until from bc ad th st nd rd killed composed directed founded developed composer was were did wrote painted invented discovered built first ancient during century died born happened ended began war roman",
        words=(
            r"(?:in|since|before|after|during|of|by|until|from) (?:the )?(?:1\d{3}|20[01]\d)s?\b",
            r"\d{1,2}(?:st|nd|rd|th) century\b",
            r"(?:bc|ad)\b",
            r"who (?:wrote|painted|invented|discovered|built|founded|composed|directed|was|were|killed|developed)\b",
            r"when (?:did|was|were)\b",
            r"the first (?:president|king|queen|prime minister|pope|man|woman|emperor)\b",
            r"emperor\b",
        ),
    ),
    cue(
        Volatility.SLOW,
        "office",
        "heads chairs coaches manages presents senators charge chairperson which leading president ceo minister pm chancellor king queen pope governor mayor manager coach head chair chairman chairwoman leader champion director secretary speaker "
        "captain owner owns runs running leads senator ambassador host plays starring champion reigning boss cfo cto commander commissioner",
        words=(
            r"(?:president|ceo|cfo|cto|prime minister|pm|chancellor|king|queen|pope|governor|mayor|manager|coach|head|chair(?:man|woman|person)?|leader|director|secretary|speaker|captain|owner|senators?|ambassador|commissioner|minister)\b(?: general| of state)?[^.?!]{0,6}\b(?:of|for|at)\b",
            r"who(?:'s| is| are)? (?:the )?(?:current |present |now )?(?:\w+ )?(?:president|ceo|prime minister|chancellor|king|queen|pope|governor|mayor|manager|coach|head|leader|champion|director|owner|captain|running|in charge|leading|boss)\b",
            r"who (?:runs|owns|leads|plays|manages|coaches|chairs|heads|presents)\b",
            r"(?:reigning|defending|world|current|present) champion",
            r"reigning\b",
            r"plays for\b",
            r"play for which\b",
        ),
    ),
    cue(
        Volatility.SLOW,
        "price",
        "median average cost costs price prices fee fees pay rent salary much fare worth tariff subscription rates charge charges charged ticket wage earn",
        words=(
            r"(?:how much|what)\b[^.?!]{0,40}\b(?:costs?|price|fees?|rent|salary|fare|pay|charge|charges|charged|tariff|wage)\b",
            r"prices? (?:of|for)\b",
            r"how much (?:is|are|does|do|would|will|for|can)\b(?! (?:\d|one|two|half)\b)(?!.*\b(?:weigh|water should|sleep should|sugar|flour|protein|calories)\b)",
            r"(?:fee|cost|price|rent|fare|salary) (?:for|of|to|in)\b",
            r"net worth\b",
            r"rent would\b",
            r"what(?:'d| would|'ll| will)? (?:\w+ )?(?:rent|fees?) be\b",
            r"(?:average|median) (?:house|salary|rent|price|wage|income)\b",
        ),
    ),
    cue(
        Volatility.SLOW,
        "release",
        "models edition generation life longer current version versions release releases latest newest supported deprecated support model update upgrade still discontinued stable lts "
        "install window new recent recently",
        words=(
            r"(?:latest|newest|current|most recent|new|stable|lts|which|what)\b[^.?!]{0,25}\b(?:versions?|releases?|models?|edition|generation|update)\b(?! control)",
            r"(?:still|no longer) (?:supported|maintained|available|in use|made|sold|alive|married)\b",
            r"deprecated\b",
            r"end of (?:life|support)\b",
            r"context window\b",
            r"(?:latest|newest|most recent|recently)\b",
        ),
    ),
    cue(
        Volatility.SLOW,
        "law",
        "rule vaccine vaccinated vaccine required requires needed get shot travel sick maternity paternity parental customs restriction restrictions drinking voting sales law laws legal illegal banned ban allowed tax taxes vat visa visas wage limit retirement required requirements licence license permit age passport quarantine "
        "regulation regulations vaccinations vaccines vaccination leave euro apply shots",
        words=(
            r"(?:legal|illegal|banned|allowed to|(?<!my )visas?(?!'s| (?:card|credit|debit|account|bill|reward|points|limit))|minimum wage|income tax|tax (?:rate|bracket|free)|vat|sales tax|speed limit|retirement age|drinking age|voting age|vaccin(?:e|es|ated|ation|ations)|(?:paternity|maternity|parental|sick) leave|licen[cs]e|permit|quarantine|travel restrictions?|customs)\b(?! sentence)",
            r"(?:required?|requires|need|needed|get)\b[^.?!]{0,30}\b(?:visa|passport|vaccin(?:e|es|ated|ation|ations)|shots|permit)\b",
            r"(?:euro|law|rule|ban|tax)\b[^.?!]{0,20}\b(?:apply|applies|in force|valid)\b",
        ),
    ),
    cue(
        Volatility.SLOW,
        "figure",
        "most states stores branches languages population inhabitants inflation gdp unemployment subscribers followers employees members users customers seasons episodes moons stars goals titles record records old age "
        "interest countries rate deficit debt living recession number people albums streamed",
        words=(
            r"(?:population|inhabitants|inflation|gdp|unemployment|recession|national debt|interest rates?|funds rate|base rate|subscribers|followers|employees|world records?|records? for)\b",
            r"(?:how many|number of)\b[^.?!]{0,30}\b(?:people (?:live|living)|subscribers|followers|employees|members|users|customers|seasons|episodes|moons|stars|goals|titles|albums|countries|states|stores|branches|languages)\b",
            r"(?:members|countries|states) (?:of|are|in) (?:members of )?(?:the )?(?:nato|eu|un|european union|opec|brics|nations)\b",
            r"members of\b",
            r"how old (?:is|are) (?!the (?:earth|universe|sun|moon|pyramids?)|you\b)",
            r"most (?:streamed|watched|viewed|followed|popular|expensive|valuable|visited|sold|subscribed)\b",
        ),
    ),
    cue(
        Volatility.SLOW,
        "best",
        "cafe cafes bars bad great positive food sushi wealthiest recommends show steakhouse steakhouses eateries eatery ratings rating recommendations eat review best top tallest richest fastest cheapest highest longest popular good decent recommend recommended recommendation suggest buy buying budget which newest busiest strongest "
        "furthest affordable restaurants hotels restaurant hotel reviews worth places",
        words=(
            r"(?:best|top(?![ -]ups?\b| (?:of|it|off|my))|richest|tallest|fastest|cheapest|busiest|wealthiest|strongest|furthest|longest-range|affordable|budget|decent)\b(?! (?:ways?|times?|jokes?|meal|thing|method|practice|practices|of luck|regards|describes|man|friend|describe|explains)\b)",
            r"(?:buy|buying|recommend(?:s|ed|ation|ations)?|suggest)\b[^.?!]{0,40}\b(?:phone|laptop|car|camera|card|tv|hotel|restaurant|monitor|headphones|tablet|watch|place|book|show|movie|series|app|which)\b",
            r"(?:restaurants?|hotels?|bars|cafes?|places to (?:eat|stay|visit|go))\b.*\b(?:in|near|around|reviews?)\b",
            r"(?:good|positive|great|bad) (?:\w+ )?(?:reviews?|restaurants?|food|steakhouses?|sushi)\b",
            r"(?:reviews?|ratings?) (?:of|for|look)",
            r"restaurant recommendations\b",
            r"eater(?:y|ies)\b",
            r"which (?:\w+ )?(?:phone|laptop|car|camera|version|graphics card|tv|tablet|airline|bank|broker|provider|university|school|framework|library|database)s?\b",
        ),
    ),
    cue(
        Volatility.SLOW,
        "service",
        "times time shut accepts accepting flights trains routes direct delivers streams hours open opens close closes opening closing fly flies direct train flight route available stream streaming accepted sell sells deliver offer offers accept accepts membership",
        words=(
            r"(?:opening|closing|business|office|store|visiting) (?:hours|times?)\b",
            r"(?:when|what time)\b[^.?!]{0,30}\b(?:open|opens|close|closes|shut)\b",
            r"open (?:on|until|till|at|late)\b",
            r"(?:does|do|is there|are there)\b[^.?!]{0,40}\b(?:fly|direct|trains?|flights?|routes?|deliver|sell|offer|accept|stream)\b",
        ),
    ),
)
