"""Cues of what changes within minutes or within a day."""

from __future__ import annotations

from typing import Final

from ...middleware.analysis.facts import Volatility
from .cue import Cue, cue

_COINS = r"bitcoin|btc|ethereum|ether|eth|dogecoin|litecoin|solana|crypto(?:currency|currencies)?"
_INDICES = r"dow(?: jones)?|nasdaq|s ?& ?p(?: 500)?|ftse|dax|nikkei|sensex"
_CURRENCIES = (
    r"usd|eur|gbp|inr|jpy|chf|cad|aud|dollars?|euros?|pounds?|yen|rupees?|pesos?|francs?|sterling|yuan|won|kroner?"
)

SOON: Final[tuple[Cue, ...]] = (
    # minutes
    cue(
        Volatility.LIVE,
        "clock",
        "time clock hour oclock timezone",
        start=(r"(?:current |local |exact )*time (?:right now |now )?(?:in|at|for) ",),
        words=(
            r"(?:what(?:'s| is)?|whats|tell me|give me|know|check|need|got|have|show me|say)\b[^.?!]{0,12}\b(?:the |current |exact |local )*(?:time|clock|hour)\b(?! (?:complexity|zone|difference|signature|management|of|does|do|is best|to|should|would|will|frame|limit|period|the|series|for))",
            r"what time is it\b",
            r"time right now\b",
            r"current(?: local)? time (?:in|at|for)\b",
        ),
    ),
    cue(
        Volatility.LIVE,
        "market",
        "cryptocurrency cryptocurrencies price prices worth value trading shares share stock stocks quote cost bitcoin btc ethereum ether eth dogecoin "
        "litecoin solana crypto dow nasdaq ftse dax nikkei sensex p crude nyse",
        start=(r"(?:the )?[\w.&]+ (?:shares?|stock)$",),
        words=(
            r"(?:stock|share) (?:price|value|quote)s?\b(?! work)",
            rf"(?:price|worth|value|quote|cost|trading|much|doing|at)\b.*\b(?:{_COINS}|{_INDICES})\b",
            rf"(?:{_COINS}|{_INDICES})\b.*\b(?:price|worth|value|usd|eur|gbp|trading|at|doing|performing|today|now|set me back|go for)\b",
            rf"how (?:is|are) (?:the )?(?:{_INDICES}|[\w ]{{1,20}} (?:stocks?|shares?))\b",
            r"(?:is|are) [\w .&]{1,30} trading\b",
            r"(?:stocks?|shares?) (?:go(?:es)? for|at|doing|worth|trading)\b",
            r"(?:crude|brent)\b.*\b(?:price|quote)\b",
            rf"(?:pull|check|quote)\b.*\b(?:{_INDICES})\b",
        ),
    ),
    cue(
        Volatility.LIVE,
        "under_way",
        "scores results song track music tune name title score winning leading ahead result count playing live lead voting vote losing race match game",
        words=(
            r"(?:live|current|half-?time) (?:score|result)s?\b(?! in music)",
            r"score (?:in|of|for|at) (?:the )?\b(?!music)",
            r"(?:who|which \w+)(?:'s| is| are)? (?:\w+ )?(?:winning|leading|ahead|in the lead|losing)\b",
            r"(?:song|track|music|tune)\b[^.?!]{0,12}\b(?:is this|is that|this is|that is|playing|am i hearing)\b",
            r"what(?:'s| is|s) (?:playing|this song|that song|this tune|that tune)\b",
            r"(?:name|title) (?:of )?(?:this|that|the) (?:song|tune|track)\b",
        ),
    ),
    cue(
        Volatility.LIVE,
        "right_now",
        "now moment currently instant outside just yet late speak",
        start=(
            r"(?!.*\b(?:i need|i want|my|please)\b).*\bright now\b",
            r"(?:is|are|has|have|do|does|did) (?!i\b|you\b)(?![^.?!]*\bmy\b)[^.?!]*\b(?:now|yet)\s*\?*$",
            r"outside temp",
        ),
        words=(
            r"how late is it\b",
            r"at (?:the|this) (?:very )?(?:moment|instant)\b",
            r"as we speak\b",
            r"(?:just|currently) (?:felt|happening|going on|under ?way|open|closed|down|online|available)\b",
            r"(?:temp|temperature|degrees|hot|cold|warm|raining|weather) outside\b",
        ),
    ),
    cue(
        Volatility.LIVE,
        "traffic",
        "packed traffic jam jams congestion congested queue queues line wait waiting busy crowded full parking spaces accident accidents",
        words=(
            r"traffic (?:update|on|in|at|to|around|near|like|look|looking|bad|from|heavy|light|conditions|report|jam|there|between|right)\b",
            r"(?:how|what|how's)\b[^.?!]{0,20}\btraffic\b",
            r"any (?:traffic|jams?|congestion|accidents?)\b",
            r"(?:how long|length|depth|size)\b[^.?!]{0,15}\b(?:is|are|of)\b[^.?!]{0,12}\b(?:queue|queues|line|wait)\b(?!.*\btransfer)",
            r"wait(?:ing)? times?\b",
            r"(?:the|a) (?:long )?wait(?: like)? (?:at|for a table)\b",
            r"queue (?:depth|length|time)\b",
            r"(?:long|much of a) wait\b",
            r"how (?:busy|crowded|full|packed)\b",
            r"(?:is|are)\b[^.?!]{0,40}\b(?:busy|crowded)\b",
            r"(?:free )?parking spaces?\b.*\b(?:near|left|free|available)\b",
            r"free parking spaces\b",
        ),
    ),
    cue(
        Volatility.LIVE,
        "status",
        "outages cold hot warm windy usage users people viewers visitors down up open running working available stock left online status outage healthy health on off locked raining snowing load "
        "battery delayed answering free closed serving dark sunny loads",
        start=(
            r"(?:is|are|has|isn't|aren't)\b(?! (?:a|an|there|your|you|my|physical|the fees?|it (?:safe|possible|true|ok|okay|legal|normal|bad|good))\b)[^.?!,]{1,60}\b(?:down|up|open|closed|running(?: normally)?|working(?: again| for others too)?|available|online|offline|locked|raining|snowing|sunny|dark|delayed|healthy|serving|busy|in stock|sold out|on|off)(?: (?:in|at|near) [\w ]+)?\??$",
            r"is it (?:raining|snowing|sunny|dark|hot|cold|warm|windy|open)\b",
        ),
        words=(
            r"(?:in stock|power outage|outages?|seats? (?:left|free|available)|(?:tickets?|rooms?|tables?|seats?) (?:still )?(?:available|left)|still available)\b",
            r"(?:number of|how many) (?:people|users|viewers|visitors)\b.*\b(?:online|watching|connected|logged in|active)\b",
            r"(?:users?|people) online\b",
            r"(?:cpu|memory|disk) (?:load|usage)\b.*\bserver\b",
            r"battery (?:level|status|percentage|left)\b",
            r"server status\b",
            r"(?:website|site|server|service|page) (?:is )?(?:up|down|loads?)\b",
            r"(?:if|whether|that) the (?:door|window|light|oven|stove|garage|alarm)s?\b.*\b(?:locked|open|closed|on|off)\b",
        ),
    ),
    cue(
        Volatility.LIVE,
        "reading",
        "wind air current where has",
        words=(
            r"current (?:temperature|wind|air|price|value|score|wait|time|status|location|position|queue|traffic|load|weather|conditions?|humidity|speed)\b(?! in (?:java|python|c))",
            r"where (?:is|has|are) the (?:international space station|iss|storm|hurricane|bus|train|nearest)\b",
            r"(?:air quality|wind speed)\b.*\b(?:in|at|now)\b",
        ),
    ),
    # a day
    cue(
        Volatility.DAILY,
        "day",
        "countdown hour sleep sleeps month months today tonight tomorrow tmrw tomorow yesterday week weekend morning afternoon evening saturday sunday monday tuesday "
        "wednesday thursday friday today's yesterday's tonight's tomorrow's day date days weeks night hours daily upcoming",
        start=(r"(?:.*\b(?:for|on|happening)\b.* )(?:saturday|sunday|monday|tuesday|wednesday|thursday|friday)\b",),
        words=(
            r"(?:today|tonight|tomorrow|tmrw|yesterday)\b",
            r"(?:this|next|last|coming|past) (?:\w+ )?(?:week|weekend|morning|afternoon|evening|night|monday|tuesday|wednesday|thursday|friday|saturday|sunday|few days)\b",
            r"(?:what(?:'s| is)?|tell me|give me|know|current|which)\b[^.?!]{0,12}\b(?:the |today's |current )?(?:date|day)\b(?! (?:of birth|after|before|before|comes|did|was|in the week)\b)",
            r"(?:how many|number of) (?:days?|weeks?|hours?|months?|sleeps?)\b[^.?!]{0,12}\b(?:until|till|to go|left|remain(?:s|ing)?)\b",
            r"of the day\b",
            r"countdown\b",
        ),
    ),
    cue(
        Volatility.DAILY,
        "weather",
        "storms humid weather forecast rain rainfall snow snowing umbrella sunrise sunset tide tides pollen temperature coat humidity storm cold hot warm sunny moon chilly degrees raining windy jacket wind",
        words=(
            r"weather\b(?! and climate)",
            r"forecast (?:for|in|at)\b",
            r"(?:will|is|does|did|going to|gonna|chance of|any|expected)\b[^.?!]{0,30}\b(?:rain|snow|raining|snowing|storms?|windy|sunny|chilly|rainfall)\b",
            r"(?:umbrella|coat|jacket)\b.*\b(?:need\w*|wear|bring|take)\b",
            r"need (?:a|an|my) (?:umbrella|coat|jacket)\b",
            r"umbrella\b",
            r"(?:sunrise|sunset|high tide|low tide|tides?)\b(?! effect)",
            r"tide table\b",
            r"pollen\b",
            r"rainfall expected\b",
            r"snow depth\b",
            r"phase is the moon\b",
            r"how (?:hot|cold|warm|humid|chilly)\b[^.?!]{0,20}\b(?:in|outside|there|out)\b",
            r"temperature (?:in|at|for)\b(?!.*\b(?:oven|boil|melt|cook))",
            r"what temperature\b(?!.*\b(?:boil|melt|cook|bake|oven|freeze))",
        ),
    ),
    cue(
        Volatility.DAILY,
        "news",
        "update date anything popular travel traveling travelling safe safety danger dangerous riots riot alert alerts news headlines headline happening trending latest new developments updates speed parliament going talking events papers brief",
        words=(
            r"travel (?:alerts?|advisor(?:y|ies)|warnings?)\b",
            r"(?:safe|safety|dangerous|danger|riots?)\b[^.?!]{0,25}\b(?:travel|travell?ing|visit|going to|flying to|in)\b",
            r"travel(?:l?ing)?\b[^.?!]{0,30}\b(?:safe|safety|danger|alerts?)\b",
            r"news\b(?!paper| agency| anchor)",
            r"headlines?\b(?! font)",
            r"trending\b",
            r"up to (?:speed|date)\b",
            r"latest (?:on|about|in|from|news|developments?|updates?|headlines?|results?|scores?|episode|figures)\b",
            r"what(?:'s| is|s) (?:new|happening|going on|everyone talking)\b",
            r"anything (?:happening|good on|new|going on)\b",
            r"(?:brief|update) me\b",
            r"most popular video\b",
        ),
    ),
    cue(
        Volatility.DAILY,
        "rates",
        _CURRENCIES.replace("?", "").replace("|", " ")
        + " peso krone francs franc yens horoscopes platinum yields winning copper canadian australian us yuan kroner  dollar euro pound yen rupee rate rates gold silver petrol diesel gas gasoline fuel yield mortgage exchange fx currency lottery shares horoscope oil",
        words=(
            r"(?:exchange|conversion|fx|forex|currency) rates?\b(?! work)",
            rf"(?:{_CURRENCIES}|us|canadian|australian)\b[^.?!]{{0,20}}\b(?:to|in|into|for|and|versus|vs|against|worth)\b[^.?!]{{0,20}}\b(?:{_CURRENCIES})\b(?! (?:difference|coin))",
            r"(?:dollar|euro|pound|yen|peso)s?\b[^.?!]{0,12}\bworth\b",
            r"price of (?:gold|silver|oil|petrol|diesel|gas|fuel|platinum|copper)\b",
            r"(?:gold|silver|oil|petrol|diesel|gas|fuel|platinum) prices?\b",
            r"how much is (?:petrol|diesel|gas|gasoline|gold|silver)\b",
            r"mortgage rates?\b",
            r"treasury yields?\b",
            r"lottery (?:numbers?|results?)\b",
            r"winning numbers\b",
            r"horoscopes?\b",
            r"fx\b",
        ),
    ),
    cue(
        Volatility.DAILY,
        "fixtures",
        "bottom showtime showtimes cheap cheapest flight sports pages schools score facing playing win won play plays scored match matches game games table fixtures standings results result league qualifying showing cinema movies films tv charts "
        "chart strike team teams top box office voted menu soup lunch flights fare hosting holiday listings schedule race beat lose lost shows",
        words=(
            r"did (?:the )?[\w ]{2,30} (?:win|lose|beat|score|play)\b(?!.*\b(?:war|battle|election of|in (?:1|2)\d{3}|nobel|oscar)\b)",
            r"who (?:won|beat|scored|got voted)\b(?!.*\b(?:war|battle|in (?:1|2)\d{3}|nobel|first|the (?:1|2)\d{3})\b)",
            r"who (?:do|does|are|is) [\w ]{2,25} (?:play|playing|facing|hosting)(?: next)?\b",
            r"hosting\b",
            r"(?:league|points|medal) (?:table|standings)\b",
            r"standings\b",
            r"fixtures\b",
            r"(?:top|bottom) of the [\w ]*(?:league|table|charts?)\b",
            r"results? (?:of|from|for) (?:the )?(?:f1|match|race|game|qualifying|grand prix|election|draw)\b",
            r"(?:on tv|in the charts|box office|at the (?:cinema|movies)|films are showing|movies are (?:showing|playing)|showtimes?)\b",
            r"(?:train|rail|bus|tube|airport) strike\b",
            r"bank holiday coming\b",
            r"schools closed\b",
            r"(?:cheapest|cheap) (?:flights?|fares?)\b",
            r"flights? to\b.*\b(?:fare|cheapest|price)\b",
            r"matches are (?:scheduled|on)\b",
            r"(?:for lunch|lunch menu|sports pages)\b",
            r"teams? played\b",
        ),
    ),
)
