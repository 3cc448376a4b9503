"""Word lists for reading a question: plain English, compiled by hand, none taken from a corpus.

All words are in lower case.
"""

from __future__ import annotations

from typing import Final

NEGATORS: Final = frozenset(
    "not no never none nothing nobody nowhere neither nor without except excluding unless cannot non lack lacks lacking "
    # contracted without an apostrophe, as people type
    "dont doesnt didnt isnt arent wasnt werent wont wouldnt cant couldnt shouldnt hasnt havent hadnt mustnt aint "
    # the commonest of the other languages in Latin script, so that they are not read as mere fillers
    "nicht kein keine keinen ohne nie pas sans jamais aucun aucune nunca ningun ninguna não sem nessun senza niet geen".split()
)

FUNCTION_WORDS: Final = frozenset(
    "a an the this that these those there here it its of in on at to for from by with about as into onto than then "
    "and or but if so do does did doing done is are am was were be been being has have had having will would can "
    "could should shall may might must i you he she we they me him her us them my your his our their mine yours "
    "myself yourself itself one ones some any each every all both such same own what which who whom whose when where "
    "why how much many more most very just too also get gets getting got go going s t d m ll re ve let lets "
    "up out off over via per".split()
)

FILLERS: Final = frozenset(
    "please pls hi hey hello thanks thank cheers sorry um uh er erm like well okay ok really simply basically quick "
    "quickly question wonder know tell possible possibly want wanted need help way able explain say usual usually "
    "generally typically currently actual actually exact exactly silly dear sir madam team find found become obtain "
    "calculate consider value define describe".split()
)
"""Words a question can lose without asking something else; compared by stem."""

PHRASES: Final = {
    ("turn", "on"): "enable",
    ("switch", "on"): "enable",
    ("turn", "off"): "disable",
    ("switch", "off"): "disable",
    ("log", "in"): "login",
    ("sign", "in"): "login",
    ("log", "on"): "login",
    ("log", "out"): "logout",
    ("sign", "out"): "logout",
    ("log", "off"): "logout",
    ("sign", "up"): "register",
    ("set", "up"): "create",
    ("roll", "back"): "revert",
    ("how", "tall"): "height",
    ("how", "fast"): "speed",
    ("how", "old"): "age",
    ("how", "heavy"): "weight",
    ("how", "far"): "distance",
    ("capital", "city"): "capital",
    ("what", "makes"): "why",
    ("what", "time"): "when",
}
"""Two words in a row that stand for one."""

KINDS: Final = frozenset({"city", "country", "year", "person", "company", "one"})
"""Words that restrict nothing directly after which and what."""

BEFORE_WAY: Final = frozenset({"best", "good", "right", "proper", "correct", "recommended"})
"""Fillers in front of "way": the best way to do it and how to do it ask the same."""

NUMBER_WORDS: Final = {
    word: value
    for value, words in {
        "0": "zero",
        "1": "one once single",
        "2": "two second twice",
        "3": "three third",
        "4": "four fourth",
        "5": "five fifth",
        "6": "six sixth",
        "7": "seven seventh",
        "8": "eight eighth",
        "9": "nine ninth",
        "10": "ten tenth",
        "11": "eleven eleventh",
        "12": "twelve twelfth dozen",
        "13": "thirteen thirteenth",
        "14": "fourteen fourteenth",
        "15": "fifteen fifteenth",
        "16": "sixteen sixteenth",
        "17": "seventeen seventeenth",
        "18": "eighteen eighteenth",
        "19": "nineteen nineteenth",
        "20": "twenty twentieth",
        "30": "thirty thirtieth",
        "40": "forty",
        "50": "fifty",
        "60": "sixty",
        "70": "seventy",
        "80": "eighty",
        "90": "ninety",
        "100": "hundred hundredth",
        "1000": "thousand",
        "1000000": "million",
        "1000000000": "billion",
        "0.5": "half",
        "0.25": "quarter",
    }.items()
    for word in words.split()
}

ROMAN: Final = {"II": "2", "III": "3", "IV": "4", "VI": "6", "VII": "7", "VIII": "8", "IX": "9"}
"""Numerals of two letters and more; in capitals they are hardly ever anything else."""

DATES: Final = {
    form: name
    for name, forms in {
        "january": "january jan",
        "february": "february feb",
        "march": "march",
        "april": "april apr",
        "may": "may",
        "june": "june jun",
        "july": "july jul",
        "august": "august aug",
        "september": "september sept sep",
        "october": "october oct",
        "november": "november nov",
        "december": "december dec",
        "monday": "monday mondays",
        "tuesday": "tuesday tuesdays",
        "wednesday": "wednesday wednesdays",
        "thursday": "thursday thursdays",
        "friday": "friday fridays",
        "saturday": "saturday saturdays",
        "sunday": "sunday sundays",
        "today": "today tonight",
        "tomorrow": "tomorrow",
        "yesterday": "yesterday",
    }.items()
    for form in forms.split()
}
DATES_ALSO_WORDS: Final = frozenset({"may", "march"})
"""Read as months only where they are capitalised inside a sentence or stand beside a number."""

UNITS: Final = {
    form: name
    for name, forms in {
        "%": "% percent percentage pct",
        "am": "am a.m",
        "pm": "pm p.m",
        "second": "s sec secs seconds",
        "minute": "min mins minute minutes",
        "hour": "h hr hrs hour hours",
        "day": "day days",
        "week": "week weeks wk wks",
        "month": "month months",
        "year": "year years yr yrs",
        "millisecond": "ms millisecond milliseconds",
        "mm": "mm millimetre millimetres millimeter millimeters",
        "cm": "cm centimetre centimetres centimeter centimeters",
        "m": "m metre metres meter meters",
        "km": "km kilometre kilometres kilometer kilometers",
        "inch": "inch inches",
        "foot": "ft foot feet",
        "yard": "yd yard yards",
        "mile": "mi mile miles",
        "mg": "mg milligram milligrams",
        "g": "g gram grams gramme grammes",
        "kg": "kg kilo kilos kilogram kilograms",
        "tonne": "tonne tonnes ton tons",
        "pound": "£ lb lbs pound pounds gbp quid",
        "ounce": "oz ounce ounces",
        "ml": "ml millilitre millilitres milliliter milliliters",
        "l": "l litre litres liter liters",
        "gallon": "gal gallon gallons",
        "pa": "pa pascal pascals",
        "kpa": "kpa",
        "mpa": "mpa",
        "bar": "bar bars",
        "psi": "psi",
        "celsius": "c celsius centigrade",
        "fahrenheit": "f fahrenheit",
        "kelvin": "k kelvin",
        "dollar": "$ usd dollar dollars bucks",
        "euro": "€ eur euro euros",
        "yen": "¥ jpy yen",
        "rupee": "₹ inr rupee rupees",
        "kb": "kb kilobyte kilobytes",
        "mb": "mb megabyte megabytes",
        "gb": "gb gigabyte gigabytes",
        "tb": "tb terabyte terabytes",
        "w": "w watt watts",
        "kw": "kw kilowatt kilowatts",
        "v": "v volt volts",
        "hz": "hz hertz",
        "thousand": "thousand",
        "million": "million",
        "billion": "billion bn",
    }.items()
    for form in forms.split()
}

CURRENCIES: Final = frozenset({"pound", "dollar", "euro", "yen", "rupee"})
"""Units that may stand before their number."""

OPERATORS: Final = {
    "plus": "+",
    "minus": "-",
    "times": "*",
    "divided": "/",
    "\u00d7": "*",
    "\u00f7": "/",
    "\u2212": "-",
}
