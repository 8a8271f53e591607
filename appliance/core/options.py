"""The options of PS3.15 Annex E, their codes of CID 7050, and the profiles that this product offers.

A choice is a set of option names. It refuses choices that contradict each other, as the standard does.
"""

from collections.abc import Iterable
from typing import Literal, get_args

from appliance.errors import Misconfigured

Option = Literal[
    "clean-pixel-data",
    "clean-recognizable-visual-features",
    "clean-graphics",
    "clean-structured-content",
    "clean-descriptors",
    "retain-longitudinal-full-dates",
    "retain-longitudinal-modified-dates",
    "retain-patient-characteristics",
    "retain-device-identity",
    "retain-institution-identity",
    "retain-uids",
    "retain-safe-private",
]
OPTIONS: tuple[Option, ...] = get_args(Option)
BASIC_CODE = "113100"
CODES: dict[Option, str] = {
    "clean-pixel-data": "113101",
    "clean-recognizable-visual-features": "113102",
    "clean-graphics": "113103",
    "clean-structured-content": "113104",
    "clean-descriptors": "113105",
    "retain-longitudinal-full-dates": "113106",
    "retain-longitudinal-modified-dates": "113107",
    "retain-patient-characteristics": "113108",
    "retain-device-identity": "113109",
    "retain-uids": "113110",
    "retain-safe-private": "113111",
    "retain-institution-identity": "113112",
}
Options = frozenset[Option]
PROFILES: dict[str, Options] = {
    "basic": frozenset({"clean-pixel-data"}),
    # What leaves for the centre: an age, a sex, a size and intervals are what a reader cannot do without.
    "centre": frozenset({"clean-pixel-data", "retain-patient-characteristics", "retain-longitudinal-modified-dates"}),
}


def chosen(profile: str, added: Iterable[Option] = (), left_out: Iterable[Option] = ()) -> Options:
    """The options of a profile with some added and some left out.

    raises  Misconfigured("deid-options"): an unknown profile, or full and modified dates together (PS3.15 E.3.6)
    """
    if profile not in PROFILES:
        raise Misconfigured("deid-options", profile)
    options = (PROFILES[profile] | frozenset(added)) - frozenset(left_out)
    if {"retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"} <= options:
        raise Misconfigured("deid-options", "retain-longitudinal-full-dates, retain-longitudinal-modified-dates")
    return options
