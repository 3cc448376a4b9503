"""Cues of what is asked of a given text, of the imagination, or about the asker's own affairs."""

from __future__ import annotations

from typing import Final

from ...middleware.analysis.facts import Volatility
from .cue import Cue, cue

_RIDES = r"bus|train|tram|metro|tube|subway|ferry|flight|plane|shuttle"
_PRIVATE = (
    r"accounts?|balances?|orders?|parcels?|packages?|deliver(?:y|ies)|shipments?|subscriptions?|membership|plan|"
    r"appointments?|calendar|schedule|agenda|meetings?|reminders?|alarms?|timers?|(?:to-?do|shopping|grocery) list|lists?|"
    r"bills?|invoices?|payments?|payroll|paycheck|pay ?day|salary|income|rent|mortgage|loan|debt|savings|checking|"
    r"spending|expenses|transactions?|purchases?|refund|reimbursement|claims?|statements?|credit (?:score|limit)|limit|"
    r"apr|interest rate|due date|points|rewards?|miles|mileage|vacation|holidays?|leave|pto|days off|time off|"
    r"applications?|tickets?|bookings?|reservations?|itinerary|seats?|luggage|emails?|messages?|inbox|texts?|mail|notifications?|"
    r"name|nickname|username|address|location|phone number|account number|routing number|tracking number|password|"
    r"wi-?fi password|w-?2|tax(?:es)?|insurance|policy|benefits|prescriptions?|results|grades?|courses?|homework|"
    r"car|phone|keys|wallet|playlist|songs?|photos?|contacts?|steps|workouts?|sleep|weight|heart rate|health|plans|"
    r"birthday|anniversary|boss|doctor|dentist|mom|mum|dad|wife|husband"
)

OWN: Final[tuple[Cue, ...]] = (
    # what the asker wants done, not answered
    cue(
        Volatility.PERSONAL,
        "act_for_me",
        "mail take remind set wake book cancel add remove delete transfer send call text turn order reorder schedule reschedule put move pay play skip "
        "pause resume stop start buy reserve message tell let email forward dial phone switch change update make create get mark rsvp find flip roll "
        "confirm arrange share freeze unfreeze block unblock redeem track locate scrap nix rent increase lock unlock song track raise flight uber taxi cab timer reservation hotel car rental table reminder",
        asked=(
            r"(?:remind|wake|reorder|dial|rsvp|reschedule|skip|redeem|unfreeze|unblock|nix|scrap)\b",
            r"(?:cancel|confirm|reserve|schedule|arrange|book)\b(?! (?:club|review|report|recommendation|summary|value|of)s?\b)",
            r"(?:set|start|make|create|add|delete|update)\b[^.?!]{0,40}\b(?:alarm|timer|reminder|meeting|appointment|reservation|payment|volume|thermostat|playlist|phone call|vacation request)s?\b",
            r"(?:order|buy|get|rent|find) (?:me |us |my )?(?:a|an|my|the|two|some|another|more|all)\b[^.?!]{0,30}\b(?:pizza|taxi|uber|cab|ride|flight|ticket|tickets|table|room|car|hotel|coffee|food|list|towels|phone|keys|wallet)\b",
            r"(?:transfer|send|pay|move|forward|email|message|text|call|phone|mail) (?:my|the|an?(?! (?:function|method|procedure|macro|api|class))|\d|\$|€|£|\w+ (?:to|from|that|and|with|hundred|thousand|dollars|euros|pounds|off|on)|[a-z]+'s|mum|mom|dad|him|her|them|me|all|[a-z]+[.!]?$)\b",
            r"(?:add|put|remove|delete|take|mark)\b.*\b(?:list|calendar|cart|schedule|playlist|agenda)\b",
            r"(?:turn|switch) (?:on|off|up|down|the)\b",
            r"play\b(?! (?:the role|a role|devil))",
            r"(?:change|update|move|make|stop|increase|raise|freeze|block|share|track|locate|find|lock|unlock|put a (?:hold|block|stop) on) (?:down )?(?:my|the)\b.*\b(?:address|name|nickname|appointment|meeting|reservation|booking|order|alarm|list|reminder|playlist|plan|account|card|limit|location|gps|phone|keys|wallet|doors?)\b",
            r"(?:tell|let) (?!me\b|us\b)[a-z]+ (?:that |know |i'm|i am|i'll|he |she |they )(?!me)",
        ),
        start=(
            r"(?:flip a|roll a|roll some) ",
            r"i (?:need|want|would like|am looking for|am searching for)(?: to (?:get|rent|obtain|order))? (?:an? )?(?:\w+ ){0,3}?(?:flight|uber|taxi|cab|timer|reservation|hotel room|car rental|rental car|table for|reminder)\b",
        ),
        words=(
            r"next song\b",
            r"tell [a-z]+ i'm\b",
        ),
        pieces=("next song", "tell "),
    ),
    # what is asked of a given text, of the imagination, or of a language
    cue(
        Volatility.TIMELESS,
        "work_on_text",
        "translate rewrite rephrase paraphrase proofread correct fix edit shorten summarise summarize classify "
        "convert write compose draft invent imagine pretend role explain describe define spell create generate "
        "grammar synonyms meaning mean translation definition synonym antonym antonyms stand roleplay make up",
        asked=(
            r"(?:translate|rewrite|rephrase|paraphrase|proofread|spell|define)\b(?! it\b)",
            r"(?:correct|fix|edit|shorten|summari[sz]e|classify|convert)\b.*(?::|\bthis\b|\bfollowing\b|\bbelow\b|\b(?:sentence|text|paragraph|plot|book|chapter)\b)",
            r"(?:write|compose|draft|invent|imagine|pretend|create|generate|make up|role-?play)\b(?!.*\b(?:news|forecast|market|report on)\b)",
        ),
        start=(r"(?:explain|describe)\b(?!.*\b(?:today|tonight|current|currently|latest|now)\b)",),
        words=(
            r"(?:meaning|definition) of\b",
            r"what does .{1,60} (?:mean|stand for)\b",
            r"(?:translation for|grammar|synonyms?|antonyms?)\b",
        ),
    ),
    # how something is done, or why a kind of thing happens: what a help page answers
    cue(
        Volatility.TIMELESS,
        "how_to",
        "how can why what steps possible could may should must safe instructions directions tips advice process way ways",
        start=(
            r"(?:(?:please|hi|hello|hey|so|and|but|ok)[ ,]+)*(?:(?:can|could) (?:you|u) )?(?:please )?(?:tell me |explain |show me |let me know )?(?:about )?(?:how (?:do|can|should|could|would|does|did) (?:i|you|we|one|someone|people)|how to|how come|steps (?:to|for)|ways? to)\b(?!.*\b(?:right now|doing|spend|spent|have left|owe|earn|sleep|feel|rank)\b)",
            r"(?:can|could|may|should|must) (?:i|we|one)\b(?!.*\b(?:travel|visas?|shots|vaccin(?:e|es|ated|ation|ations)|legally|reviews)\b)(?! (?:see|check|get|have|know) (?:what|my|the (?:status|balance|weather|time|news|score))| (?:tell|show|check|look|give|find|let|pull|read|remind|set|call|text|send|book|add|please|help|order|play|turn))",
        ),
        words=(
            r"why (?:was|were|is|are|isn't|wasn't|aren't|did|didn't|do|don't|does|doesn't|has|hasn't|have|can't|won't|would|am) (?:i|my|the|a|an|there|it|this|that|you)\b",
            r"what (?:should|can|do|must) i do\b",
            r"what steps\b",
            r"what happens (?:if|when)\b",
            r"is it (?:possible|safe)\b(?! to (?:travel|visit|go|fly))",
            r"(?:instructions|directions|tips|advice|process) (?:on|for|to|of)\b",
            r"how to\b",
        ),
    ),
    # the asker's own affairs
    cue(
        Volatility.PERSONAL,
        "memory",
        "i you we our me my who",
        also="wanted ask asked say said tell told mention mentioned talk talked discussed worked suggested remember remembered "
        "chat conversation discussion am about know call message question request",
        words=(
            r"i wanted (?:you )?to (?:remember|keep in mind|bear in mind|recall)\b",
            r"(?:did|have) i (?:just )?(?:ask|asked|say|said|tell|told|mention|mentioned)\b",
            r"(?:i|we) (?:just )?(?:asked|told|said|talked|discussed|worked on|mentioned)\b.*\b(?:you|earlier|before|last|about)\b",
            r"(?:you|we) (?:\w+ )?(?:told|said|mentioned|suggested|talked|discussed|remember|remembered|worked on)\b",
            r"our (?:\w+ )?(?:chat|conversation|discussion|talk)\b",
            r"who am i\b",
            r"(?:about|know|call|remember) me\b",
            r"my (?:last|previous|first) (?:message|question|request)\b",
        ),
    ),
    cue(
        Volatility.LIVE,
        "transport",
        _RIDES.replace("|", " ")
        + " tubes metros subways planes shuttles ferries  trains buses trams flights platform delays departures departure arrivals status",
        words=(
            rf"next (?:{_RIDES})\b(?! strike)",
            rf"(?:{_RIDES})s?\b.*\b(?:on time|delayed|late|landed|departed|arrived|cancell?ed|running|status|arrive|land|board|boarding)\b(?!.*\bstrike)",
            rf"(?:status|gate|platform|delays?)\b.*\b(?:{_RIDES})\b",
            r"(?:which|what) platform\b",
            r"any delays\b",
            r"departures\b",
            r"arrivals\b",
            r"flight [a-z]{2} ?\d{2,4}\b",
        ),
    ),
    cue(
        Volatility.PERSONAL,
        "own_affairs",
        "im my i mine me",
        start=(
            rf"my (?:[\w-]+ ){{0,2}}?(?:{_PRIVATE})(?: please)?[?.!]?$",
            r"(?:do|have|did|am|was|will) i (?!(?:need|have to|allowed|eligible|able|supposed|required|going|correct|right|want|really|wrong|get charged|be charged|be)\b)",
        ),
        words=(
            rf"(?:what(?! happens| problem| reason)|when|where|which|who|how (?:much|many|long|far|old|well|is|are)|whats)\b(?![^.?!]*\b(?:can i|should i|do i need|in order to|ways|wrong|help|applied)\b)[^.?!]{{0,60}}\bmy (?:[\w-]+ ){{0,3}}?(?:{_PRIVATE})\b",
            rf"(?:show|tell|give|read|list|check|see|display|pull up|bring up|find|look up|look at|review|open|hear|know)\b(?![^.?!]*\b(?:instructions|plan to|how to|help)\b)[^.?!]{{0,40}}\bmy (?:[\w-]+ ){{0,3}}?(?:{_PRIVATE})\b",
            r"(?:status|rest|amount|state|balance|end|details|total|due date|limit) (?:of|on|for|in) my\b",
            r"how (?:much|many|long|far|often|well|late)\b[^.?!]{0,50}\b(?:do i (?:have|owe|need to pay|still)|did i|have i|i've|am i|i have|i owe|i spent|i (?:get|got) paid|i spend|i make|i earn)\b",
            r"(?:what|when|where|which|who|whom)\b(?![^.?!]*\b(?:can|could|should|if) i\b)[^.?!]{0,40}\b(?:did i|have i|had i|am i|i have|i've|do i (?:have|owe)|was i|i owe|i bought|i ordered|i paid|i spent)\b",
            r"(?:do|did) i have (?:any|anything|something|enough|a|an|some|new|time)\b",
            r"i have (?:a|an|any) (?:reservation|meeting|appointment|booking|flight)\b",
            r"who (?:sent|called|emailed|texted|messaged|invited|wrote(?: to)?) me\b",
            r"my (?:\w+ ){0,2}card(?:'s)? (?:expires?|expiring|close)\b",
            r"my (?:\w+ ){0,2}card(?: is)?(?: going| set)? to expire\b",
            r"my (?:gps|coordinates|funds|money|credit looking)\b",
            r"where (?:am i|i am|i'm|im)\b(?! able)",
            r"can i (?:see|check) my\b",
            rf"(?<![a-z0-9'] )(?:is|are|was|were|has|have|had|did|does|will|if|whether|check if|see if)\b(?![^.?!]*\b(?:can i|should i|in order to|help|there a (?:problem|limit|way|reason))\b)[^.?!]{{0,60}}\bmy (?:[\w-]+ ){{0,3}}?(?:{_PRIVATE})\b",
        ),
        pieces=(
            *(
                "my",
                "do i ",
                "did i",
                "have i",
                "had i",
                "was i",
                "am i",
                "i have",
                "i've",
                "i am",
                "i'm",
                "where im",
                "i owe",
            ),
            *("i bought", "i ordered", "i paid", "i spen", "i get paid", "i got paid", "i make", "i earn"),
            *("sent me", "ed me", "wrote me", "wrote to me"),
        ),
    ),
    cue(
        Volatility.PERSONAL,
        "record",
        "parcels packages due minimum bill owed owe pto vacation w coordinates place location item items shoes orders purchases transactions order invoice ticket case parcel booking reservation claim account shipment package statement delivery",
        words=(
            r"(?:order|invoice|ticket|case|parcel|booking|reservation|claim|account|shipment|package|statement)(?: number| no\.?| id| ending(?: in)?)?(?:[ :#]+[a-z]{0,4}-?\d{3,}| under [a-z]+)",
            r"(?:package|order|parcel|shoes|item)s? i (?:ordered|bought)\b",
            r"(?:minimum payment|due date|amount owed|amount due|pto|w-?2)\b",
            r"(?:is|when|much|owed?|due|pay|what)\b[^.?!]{0,25}\b(?:electric|gas|water|phone|utility|cable|visa|heating|internet|card|the|this)(?:ity)? bill\b",
            r"(?:was|has|is|did) the (?:order|package|parcel|delivery)\b",
            r"list all (?:purchases|transactions|orders)\b",
            r"(?:gps )?coordinates\b[^.?!]{0,10}$",
            r"what (?:location|place) is this\b",
            r"what is this place\b",
        ),
    ),
)
