"""Which texts go into which picture: names, numbers, dates and houses, beside the markers that a reader needs."""

import random

import numpy as np

from tests.deid import pictures
from tests.deid.pictures import Picture
from tests.deid.plant_pixels import FACES, MARKERS, TECHNIQUE, Canvas, Wish
from tests.deid.sheet import Person, Sheet

COLOURS = ((255, 255, 255), (255, 255, 0), (0, 255, 0), (255, 120, 40), (90, 200, 255), (255, 90, 90))
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def chosen(rng: random.Random, number: int) -> tuple[Picture, str]:
    """A picture and the syntax it is stored in; colour and palette have their turns."""
    kind = number % 10
    if kind in (2, 5, 8):
        return rng.choice(pictures.COLOUR), rng.choice(pictures.COLOUR_SYNTAXES)
    if kind == 6:
        return rng.choice(pictures.PALETTE), rng.choice(pictures.PALETTE_SYNTAXES)
    picture = rng.choice(pictures.GREY)
    return picture, rng.choice(pictures.GREY_SYNTAXES)


def identity(sheet: Sheet, person: Person) -> str:
    """What identifies somebody, as it stands on pictures: often, but not always, the patient of the header."""
    words, rng = sheet.words, sheet.rng
    if rng.random() < 0.3:
        born = f"{person.birth[6:]}.{person.birth[4:6]}.{person.birth[:4]}"
        whole = f"{person.family} {person.given}"
        return rng.choice((whole, whole.upper(), f"ID {person.id}", f"*{born}", f"{person.family.upper()} {born}"))
    day = words.day(0, 25_000)
    match rng.randrange(12):
        case 0:
            return f"{words.word().upper()}, {words.word(4).upper()}"
        case 1:
            return f"Name: {words.word()} {words.word(3)}"
        case 2:
            return f"ID {words.digits(8)}"
        case 3:
            return f"MRN: {words.digits(7)}"
        case 4:
            return f"DOB {day:%d.%m.%Y}"
        case 5:
            return f"{day.day:02}-{MONTHS[day.month - 1]}-{day.year} {rng.randrange(24):02}:{rng.randrange(60):02}"
        case 6:
            return f"ST. {words.word(4).upper()} HOSPITAL"
        case 7:
            return f"Dr. {words.word(4)}"
        case 8:
            return f"{day:%m/%d/%Y}"
        case 9:
            return f"Acc# {words.digits(9)}"
        case 10:
            return f"{words.word(4)} {words.word(3)} {rng.randint(40, 95)}Y F"
        case _:
            return words.foreign(rng.choice(("kanji", "hangul", "chinese", "cyrillic", "greek")), 4)


def wish(sheet: Sheet, person: Person, benign: bool, small: bool) -> Wish:
    rng = sheet.rng
    tall = (9, 10, 12, 12, 14, 16) if small else (10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 52, 68, 86)
    text = rng.choice(rng.choice((MARKERS, MARKERS, TECHNIQUE))) if benign else identity(sheet, person)
    face = rng.choice((*FACES, "hershey0", "hershey1", "hershey2", "hershey3"))
    return Wish(
        text,
        benign,
        rng.choice(tall[:8]) if benign else rng.choice(tall),
        1.0 if benign else rng.choice((1.0, 1.0, 1.0, 0.75, 0.5, 0.35, 0.25)),
        0 if benign else rng.choice((0, 0, 0, 0, 0, 0, 90, 270, 180, 8, -8, 15)),
        not benign and rng.random() < 0.15,
        (255, 255, 255) if benign or rng.random() < 0.5 else rng.choice(COLOURS),
        face,
    )


def burned(sheet: Sheet, person: Person, pixels: np.ndarray) -> None:
    """Two to four identities and a marker; in a multi-frame picture on one frame only."""
    canvas = Canvas.of(sheet.dataset, pixels)
    frame = sheet.rng.randrange(len(pixels))
    small = min(pixels.shape[1:3]) < 200
    wanted = sheet.rng.randint(2, 4) if not small else 1
    for _ in range(40):
        if wanted == 0:
            break
        wanted -= canvas.burned(sheet, wish(sheet, person, False, small), frame)
    for _ in range(8):
        if canvas.burned(sheet, wish(sheet, person, True, small), frame):
            break
