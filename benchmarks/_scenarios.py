"""Templates of conversations over many fields of life, own text, for `_dialogues`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Turns: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One subject.

    Attributes:
        ways: wordings of the turns before the last, the user first; "{slot}" stands for a value.
        slots: values that change what is right to answer.
        last: last messages that lean on all of it.
        offers: what the assistant may have offered; a reply to it ends the conversation.
        told: values that the assistant tells, {told} in the wordings: the answer leans on them, too.
    """

    ways: tuple[Turns, ...]
    slots: Mapping[str, tuple[str, ...]]
    last: Turns
    offers: Turns = ()
    told: Turns = field(default=("",))


SCENARIOS = (
    Scenario(
        (
            ("I'm flying from {origin} to {goal} in {month}", "Flights on that route take off twice a day, at {told}."),
            (
                "In {month} I want to fly to {goal}, leaving from {origin}",
                "There are two flights a day on that route, at {told}.",
            ),
        ),
        {
            "origin": ("Porto", "Dublin", "Prague", "Athens"),
            "goal": ("Boston", "Cairo", "Seoul", "Lima"),
            "month": ("March", "July", "November"),
        },
        ("how long does it take?", "what's the weather like there then?", "do I need a visa?", "which one is cheaper?"),
        (
            "Shall I book the earlier flight?",
            "Shall I keep an eye on the price?",
            "Would you like to choose a seat first?",
        ),
        ("7:15 and 18:40", "6:05 and 21:30"),
    ),
    Scenario(
        (
            ("I have a table for {people} at the {place} on {day}", "Yes, I can see it, for {told}."),
            ("There's a booking of mine at the {place} for {people}, it's on {day}", "I found it, for {told}."),
        ),
        {
            "people": ("two", "four", "nine"),
            "place": ("Blue Heron", "Old Mill", "Casa Verde"),
            "day": ("Monday", "Friday", "Sunday"),
        },
        ("can I bring my dog?", "is there parking?", "can we still change it?", "do they have a menu for children?"),
        ("Shall I move it to the terrace?", "Shall I cancel it?", "Shall I add a highchair?"),
        ("7pm", "8:30pm"),
    ),
    Scenario(
        (
            (
                "My {pet} is {age} years old and has {trouble}",
                "Poor thing. Does the animal eat as usual?",
                "yes",
                "That's a good sign.",
            ),
            (
                "I have a {pet}, {age} years old, with {trouble}",
                "I'm sorry. Does the animal eat as usual?",
                "yes it does",
                "That's good.",
            ),
        ),
        {
            "pet": ("cat", "rabbit", "dog", "parrot"),
            "age": ("two", "5", "11"),
            "trouble": ("fleas", "a limp", "a cough", "bad breath"),
        },
        ("what should I do?", "how urgent is it?", "what can I give at home?", "should I see a vet?"),
        ("Shall I look for a vet nearby?", "Shall I explain what to watch for?"),
    ),
    Scenario(
        (
            ("My {device} {fault}", "Which system does it run?", "{system}", "Thanks. Please restart it first."),
            (
                "There's a problem: my {device} {fault}",
                "What system is on it?",
                "it's {system}",
                "Thank you. Restart it first, please.",
            ),
        ),
        {
            "device": ("laptop", "tablet", "desktop"),
            "fault": ("doesn't charge", "has no sound", "overheats", "won't print"),
            "system": ("Windows 10", "Windows 11", "Ubuntu", "ChromeOS"),
        },
        ("it still doesn't work", "what else can I try?", "how do I do that?", "where do I find the setting?"),
        ("Shall I open a ticket?", "Shall I guide you through a reset?", "Would you like to speak to a technician?"),
    ),
    Scenario(
        (
            (
                "I want to bake {dish} for {people} people, but I have no {lacking}",
                "No problem, there are substitutes.",
            ),
            (
                "I have no {lacking}, but I'd like to bake {dish} for {people} people",
                "That works, there are substitutes.",
            ),
        ),
        {
            "dish": ("brownies", "scones", "a carrot cake", "focaccia"),
            "people": ("4", "8", "20"),
            "lacking": ("eggs", "butter", "sugar", "baking powder"),
        },
        ("what can I use instead?", "how much do I need?", "how long should it bake?", "can I freeze it?"),
        ("Do you want the recipe?", "Do you want a shopping list?"),
    ),
    Scenario(
        (
            ("I ordered {item} in {colour} on {day}", "Thank you. It was sent {told}.", "ok"),
            ("On {day} I ordered {item}, the {colour} one", "Thanks. It was sent {told}.", "ok"),
        ),
        {
            "item": ("a lamp", "a rucksack", "a bicycle helmet", "a rug"),
            "colour": ("green", "white", "yellow"),
            "day": ("Tuesday", "Thursday", "Saturday"),
        },
        ("when will it arrive?", "can I still return it?", "how do I send it back?", "is it possible to swap it?"),
        ("Shall I send you the tracking link?", "Shall I stop the delivery?"),
        ("by courier", "by freight"),
    ),
    Scenario(
        (
            (
                "I'm {who} and I take {drug} for {illness}",
                "Thank you for telling me. Do you have allergies?",
                "{allergy}",
            ),
            (
                "I take {drug} for {illness}, and I'm {who}",
                "Thanks for telling me. Do you have any allergies?",
                "{allergy}",
            ),
        ),
        {
            "who": ("pregnant", "diabetic", "over sixty", "a runner"),
            "drug": ("ibuprofen", "aspirin", "cetirizine", "omeprazole"),
            "illness": ("migraine", "hay fever", "heartburn"),
            "allergy": ("penicillin", "no allergies", "peanuts", "latex"),
        },
        ("is that safe?", "can I drink alcohol with it?", "what are the side effects?", "can I take more?"),
    ),
    Scenario(
        (
            ("I rent a {home} in {town} and my lease ends in {month}", "Your notice period is {told}."),
            ("My lease ends in {month}, it's a {home} in {town} that I rent", "The notice period is {told}."),
        ),
        {
            "home": ("studio", "house", "garage", "shop"),
            "town": ("Leipzig", "Malmo", "Ghent"),
            "month": ("April", "September", "December"),
        },
        ("when do I have to give notice?", "can I leave earlier?", "what about the deposit?", "who pays for repairs?"),
        ("Shall I draft the letter?", "Shall I list your rights?", "Would you like a checklist for moving out?"),
        ("one month", "three months"),
    ),
    Scenario(
        (
            ("I'm {stage} and I have an exam in {subject} in {weeks} weeks", "There is time for a good plan."),
            ("In {weeks} weeks there's my exam in {subject}, I'm {stage}", "That leaves time for a good plan."),
        ),
        {
            "stage": ("in primary school", "a nursing student", "a beginner"),
            "subject": ("statistics", "biology", "Spanish", "geometry"),
            "weeks": ("2", "6", "12"),
        },
        ("can you make me a plan?", "where should I start?", "is that enough?", "which books are good?"),
        ("Shall I make a timetable?", "Shall I start with a quiz?"),
    ),
    Scenario(
        (
            ("My car is a {fuel} from {year} and the {part} makes a noise", "How many kilometres has it done?", "{km}"),
            (
                "The {part} of my car makes a noise, it's a {fuel} from {year}",
                "How many kilometres has it done?",
                "about {km}",
            ),
        ),
        {
            "fuel": ("diesel", "hybrid", "petrol car"),
            "year": ("2009", "2015", "2021"),
            "part": ("gearbox", "exhaust", "front wheel"),
            "km": ("40,000", "120,000"),
        },
        ("is it dangerous?", "what will the repair cost?", "can I drive it home?", "is it worth it?"),
        ("Shall I book a check?", "Shall I find a garage near you?"),
    ),
    Scenario(
        (
            ("I want a {cover} insurance for my {thing}", "That's possible. The excess is {told}."),
            ("For my {thing} I'd like a {cover} insurance", "We can do that. The excess is {told}."),
        ),
        {"cover": ("basic", "comprehensive", "seasonal"), "thing": ("boat", "bicycle", "violin", "caravan")},
        ("what does it cover?", "how much is it a month?", "is theft included?", "when does it start?"),
        ("Shall I prepare a contract?", "Shall I compare it with others?"),
        ("100 euros", "250 euros"),
    ),
    Scenario(
        (
            ("I turned {switch} {feature} on my {device}", "Thanks, that helps."),
            ("On my {device}, {feature} is turned {switch}", "Thank you, good to know."),
        ),
        {
            "switch": ("on", "off"),
            "feature": ("location sharing", "automatic updates", "cloud backup"),
            "device": ("phone", "watch", "camera"),
        },
        ("what happens now?", "can I undo that?", "is that a problem?", "does it use much battery?"),
    ),
)

STANDING = (
    "Which terminal does Iberia use at Heathrow?",
    "What is the boiling point of nitrogen in kelvin?",
    "How do I export a table from LibreOffice Calc to CSV?",
    "Who wrote The Master and Margarita?",
    "Does the Nordlicht Museum sell annual tickets?",
    "What are the main ingredients of a Waldorf salad?",
    "How many players are on a handball team during a match?",
    "What is the difference between a credit union and a savings bank?",
    "Can I use Tideway on a Linux laptop?",
    "Is Greenfield Library open on Good Friday?",
    "How do I report a phishing mail that claims to be from Alder Bank?",
    "Explain how photosynthesis stores sunlight in sugar molecules.",
    "Does Quickparcel deliver to Iceland?",
    "What are the symptoms of carbon monoxide poisoning in children?",
    "Which planets have rings made of ice and dust?",
    "Do you offer a Student Discount Card?",
)
CLOSINGS = (
    ("ok thanks", "You're welcome! Anything else?"),
    ("great, cheers", "Glad to help."),
    ("perfect thank you so much", "No problem! Is there anything else I can help with?"),
    ("got it", "Happy to help!"),
)
CHATTER = (
    "Hi there, hope you're well!",
    "Hello! Long day already, ugh.",
    "Hey, finally some sunshine outside haha.",
    "Good morning! Monday again lol.",
    "Hiya, first time in this chat, bear with me.",
)
GENERIC_LAST = (
    "how long does it take?",
    "how much is it?",
    "can I still change it?",
    "what do I need for that?",
    "is there a limit?",
    "and if it doesn't work?",
    "can you do it for me?",
    "where can I see it?",
    "is it free?",
    "why?",
)
REPLIES = ("yes please", "go ahead", "ok do it", "yes", "sure, thanks", "no thanks", "sounds good", "yep do that")
CHOSEN = ("the second one please", "the first one", "I'll take the first", "the latter")
DECOYS = (
    "my neighbour told me about {}",
    "with a colleague of mine it was {} by the way",
    "for my brother it would be {}",
    "{}, that's what a friend had",
)
CHOOSING = 0.3
"""Share of the intent flips where the last message chooses from two offers in another order."""

SIDE = (
    ("by the way, do you have an app?", "Yes, it's free."),
    ("are you a bot?", "Yes, an automated assistant."),
    ("can I get this chat by mail?", "Yes, at the end."),
)
