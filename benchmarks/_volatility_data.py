"""Labelled questions for `volatility`: our own, and CLINC150's by their intent."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = ("timeless", "slow", "daily", "live", "personal")
OWN: Final = Path(__file__).parents[1] / "tests/policies/volatility"

# written down before any of their texts was looked at; intents that could be two kinds are left out
INTENTS: Final = {
    intent: kind
    for kind, intents in {
        "personal": "application_status balance bill_balance bill_due calendar calendar_update cancel_reservation "
        "confirm_reservation credit_limit credit_limit_change credit_score current_location expiration_date find_phone "
        "freeze_account insurance interest_rate last_maintenance meeting_schedule min_payment oil_change_when order "
        "order_status pay_bill payday play_music pto_balance pto_request pto_request_status pto_used redeem_rewards reminder "
        "reminder_update restaurant_reservation rewards_balance schedule_meeting shopping_list shopping_list_update "
        "smart_home spending_history text timer alarm todo_list todo_list_update transactions transfer uber "
        "update_playlist user_name w2 make_call book_flight book_hotel car_rental income next_song share_location",
        "live": "time traffic flight_status how_busy what_song",
        "daily": "weather date exchange_rate travel_alert",
        "slow": "restaurant_reviews restaurant_suggestion international_visa vaccines",
        "timeless": "calories cook_time definition fun_fact measurement_conversion ingredient_substitution "
        "ingredients_list meaning_of_life nutrition_info recipe spelling tell_joke translate greeting goodbye thank_you yes "
        "no maybe are_you_a_bot calculator food_last how_old_are_you improve_credit_score jump_start plug_type "
        "oil_change_how tire_change timezone what_are_your_hobbies what_is_your_name where_are_you_from who_made_you "
        "do_you_have_pets meal_suggestion",
    }.items()
    for intent in intents.split()
}


def own(half: str) -> list[tuple[str, str]]:
    """Return (question, kind) of our own set: ``dev`` or ``held_out``."""
    lines = (OWN / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["text"], row["volatility"]) for row in map(json.loads, lines)]


def clinc(data: Path, split: str) -> list[tuple[str, str, str]]:
    """Return (question, kind, intent) of a split of CLINC150 (CC BY 3.0)."""
    rows: Sequence[Any] = json.loads((data / "semcache/clinc150/data_full.json").read_text(encoding="utf-8"))[split]
    return [(text, INTENTS[intent], intent) for text, intent in rows if intent in INTENTS]


def banking(data: Path) -> list[str]:
    """Return BANKING77's questions (CC BY 4.0), all of them for a bank's help pages."""
    with (data / "semcache/banking77/train.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"].strip() for row in csv.DictReader(file)]
