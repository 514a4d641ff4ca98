"""Units of weight as files spell them.

The two rule sets disagree on two things. `compat` keeps the factors of the original and takes what it does not know,
UCUM's pound among it, for kilograms; `v2` uses the legal factors and refuses what it does not know.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "COMPAT_KG",
    "GRAM",
    "KILOGRAM",
    "NO_UNIT",
    "POUND",
    "STONE",
    "UCUM_POUND",
    "UNITS",
    "UNKNOWN",
    "V2_KG",
    "unit_code",
]

#: by code, as in `Chunk.unit`
UNITS: Final = ("kg", "lb", "st", "g", "[lb_av]", "", "?")
KILOGRAM, POUND, STONE, GRAM, UCUM_POUND, NO_UNIT, UNKNOWN = range(len(UNITS))

#: kilograms in one of a unit, by code. Research, section 2.1.
COMPAT_KG: Final = (1.0, 0.453592, 6.35029, 1.0, 1.0, 1.0, 1.0)
#: kilograms in one of a unit, by code; NaN: such a row is refused. International pound of 1959, exact.
V2_KG: Final = (1.0, 0.45359237, 6.35029318, 0.001, 0.45359237, 1.0, float("nan"))

_CODES: Final = {
    **dict.fromkeys(("kg", "kilogram", "kilograms"), KILOGRAM),
    **dict.fromkeys(("kgs", "kilo", "kilos", "kilogramme", "kilogrammes"), KILOGRAM),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), POUND),
    **dict.fromkeys(("st", "stone", "stones"), STONE),
    **dict.fromkeys(("g", "gram", "grams", "gramme", "grammes"), GRAM),
    # [lb_ap] is the apothecaries' pound (0.373 kg), but exports that carry it mean the ordinary one: nobody is weighed
    # in the other
    **dict.fromkeys(("[lb_av]", "[lb_ap]", "[lb_us]", "lb.", "lbs.", "lb_av", "#"), UCUM_POUND),
    **dict.fromkeys(("", "null", "na", "n/a", "none"), NO_UNIT),
}


def unit_code(text: str) -> int:
    """Return the code of a unit, whatever its case; UNKNOWN if it is none of weight."""
    return _CODES.get(text.strip().lower(), UNKNOWN)
