"""Unique names, numbers, dates and UIDs out of a seed: never a real person's, never a clinical word."""

import datetime
import random

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
SCRIPTS = {
    "cyrillic": "бвгдежзиклмнопрстуфхцчшя",
    "greek": "αβγδεζηθικλμνξοπρστυφχω",
    "hebrew": "אבגדהוזחטילמנסעפצקרשת",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "thai": "กขคงจฉชซญดตถทธนบปผพฟมยรลวสหอ",
    "kanji": "山田川本中村小林加藤吉佐木高橋渡辺伊東斎松井清水森池阿部石前後岡近坂遠青西福太三野原和",
    "katakana": "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓ",
    "hangul": "김이박최정강조윤장임한오서신권황안송류전홍고문손양배백허남심노하곽성차주우구민",
    "chinese": "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于",
    "latin2": "bčdďěgklłmnňprřsštťvžźęąóőűú",
    "latin": "bdfgklmnprstväöüéèàçñøåæ",
}
FIRST_DAY, DAYS = datetime.date(1931, 1, 1), 30_000


class Words:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._used: set[str] = set()

    def _new(self, make) -> str:
        for _ in range(10_000):
            made = make()
            if made.lower() not in self._used:
                self._used.add(made.lower())
                return made
        raise AssertionError("the well of words is dry")

    def word(self, syllables: int = 5) -> str:
        """A capitalised word of two letters a syllable."""
        return self._new(
            lambda: "".join(self.rng.choice(CONSONANTS) + self.rng.choice(VOWELS) for _ in range(syllables)).title()
        )

    def foreign(self, script: str, letters: int = 6) -> str:
        return self._new(lambda: "".join(self.rng.choice(SCRIPTS[script]) for _ in range(letters)))

    def digits(self, number: int) -> str:
        return self._new(lambda: str(self.rng.randint(10 ** (number - 1), 10**number - 1)))

    def day(self, first: int = 0, days: int = DAYS) -> datetime.date:
        made = self._new(lambda: (FIRST_DAY + datetime.timedelta(first + self.rng.randrange(days))).strftime("%Y%m%d"))
        return datetime.date.fromisoformat(f"{made[:4]}-{made[4:6]}-{made[6:]}")

    def clock(self) -> str:
        return self._new(
            lambda: (
                f"{self.rng.randrange(24):02}{self.rng.randrange(60):02}{self.rng.randrange(60):02}"
                f".{self.rng.randrange(100_000, 999_999)}"
            )
        )

    def uid(self) -> str:
        return "1.2.826.0.1.3680043.8." + ".".join(self.digits(9) for _ in range(3))
