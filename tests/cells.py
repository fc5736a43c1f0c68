"""Rows of cells, by the kind of their columns: usual, hostile, or nearly valid."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from hostile import HARD, HOSTILE, UUID_TEXT

Row = dict[str, str | None]
Chance = random.Random


def random_rows(
    kinds: Mapping[str, str], count: int, hostile_share: float, null_share: float, seed: int
) -> list[Row]:
    """`count` rows, a cell for each column of `kinds` (column name: kind of its cells).

    A row is hostile with probability `hostile_share`: half of its cells are then hostile ones, or
    valid ones with a character put wrong.
    """
    chance = Chance(seed)
    rows = []
    for _ in range(count):
        hostile = chance.random() < hostile_share
        row: Row = {}
        for name, kind in kinds.items():
            if chance.random() < null_share:
                row[name] = None
            elif hostile and chance.random() < 0.5:
                spoilt = chance.random() < 0.5
                row[name] = _spoilt(kind, chance) if spoilt else chance.choice(HOSTILE)
            else:
                row[name] = valid_cell(kind, chance)
        rows.append(row)
    return rows


def hard_rows(kinds: Mapping[str, str], count: int, seed: int) -> list[Row]:
    """Rows of cells that are hard for the kind of their column, and some that are for any."""
    chance = Chance(seed)
    nulls, anything = chance.choice((0.0, 0.1)), chance.choice((0.0, 0.05))

    def cell(kind: str) -> str | None:
        roll = chance.random()
        if roll < nulls:
            return None
        return chance.choice(HOSTILE if roll < nulls + anything else HARD[kind])

    return [{name: cell(kind) for name, kind in kinds.items()} for _ in range(count)]


def uniform_rows(kinds: Mapping[str, str], count: int, seed: int) -> list[Row]:
    """Rows of which each column has cells of one length, most of them valid: kernels take short cuts
    where all cells are alike."""
    chance = Chance(seed)
    columns = []
    for kind in kinds.values():
        pool = [valid_cell(kind, chance) for _ in range(200)]
        length = len(chance.choice(pool))
        pool = [cell for cell in pool if len(cell) == length]
        if chance.random() < 0.3:
            pool += [cell for _ in range(30) if len(cell := _spoilt(kind, chance)) == length]
        columns.append(chance.choices(pool, k=count))
    return [dict(zip(kinds, cells, strict=True)) for cells in zip(*columns, strict=True)]


def valid_cell(kind: str, chance: Chance) -> str:
    """A cell that pydantic may well take for a type of `kind`, in one of many spellings."""
    return VALID[kind](chance)


def _spoilt(kind: str, chance: Chance) -> str:
    """A valid cell with one character put in, taken out or changed."""
    text = valid_cell(kind, chance)
    at = chance.randrange(len(text) + 1)
    put = chance.choice(("", *"0123456789.-+eE_:/@?#%ADPTZtz, \t\n\x00\\'\"٣é\u2028"))
    return text[:at] + put + text[at + chance.randrange(2) :]


def _text(chance: Chance) -> str:
    return chance.choice(("", "abc", "Ω", 'say "hi"', "a\\b", "line\nend", "\x01", "x" * 40))


def _int(chance: Chance) -> str:
    return str(chance.choice((1, -1)) * chance.randrange(10 ** chance.randrange(1, 20)))


def _float(chance: Chance) -> str:
    style = chance.randrange(5)
    if style == 0:
        return f"{chance.uniform(-1e6, 1e6):.{chance.randrange(9)}f}"
    if style == 1:
        return repr(chance.uniform(-1, 1) * 10.0 ** chance.randrange(-8, 20))
    if style == 2:
        digits = "".join(chance.choices("0123456789", k=chance.randrange(1, 18)))
        point = chance.randrange(len(digits) + 1)
        return f"{digits[:point]}.{digits[point:]}"
    if style == 3:
        return str(chance.randrange(10**17))
    return f"0.{'0' * chance.randrange(8)}{chance.randrange(1, 10**9)}"


def _bool(chance: Chance) -> str:
    return chance.choice(("true", "false", "True", "FALSE", "1", "0", "yes", "n", "on", "Off"))


def _date(chance: Chance) -> str:
    year = chance.choice((1, 4, 1000, 1900, 2000, 2023, 2024, 2999, 3000, 9999))
    year = chance.choice((year, chance.randrange(0, 10000)))
    return f"{year:04}-{chance.randrange(1, 13):02}-{chance.randrange(1, 32):02}"


def _time(chance: Chance) -> str:
    clock = f"{chance.randrange(25):02}:{chance.randrange(60):02}"
    if chance.random() < 0.1:
        return clock
    digits = chance.choice((0, 0, 0, 1, 3, 6, 7))
    fraction = f".{chance.randrange(10**digits):0{digits}}" if digits else ""
    zone = chance.choice(("", "", "Z", "Z", "z", "+00:00", "-03:30", "+14:00", "-23:59"))
    return f"{clock}:{chance.randrange(61):02}{chance.choice(('', fraction, '.000'))}{zone}"


def _datetime(chance: Chance) -> str:
    if chance.random() < 0.05:
        return _date(chance)
    return f"{_date(chance)}{chance.choice('TT  t')}{_time(chance)}"


def _timedelta(chance: Chance) -> str:
    hours, minutes, seconds = chance.randrange(25), chance.randrange(60), chance.randrange(61)
    days = chance.choice((0, 1, 2, chance.randrange(370)))
    if chance.random() < 0.5:
        clock = f"{hours:0{chance.choice((1, 2))}}:{minutes:02}:{seconds:02}"
        return chance.choice((clock, f"{days} day{chance.choice(('', 's'))}{clock}", clock))
    parts = ((hours, "H"), (minutes, "M"), (seconds, chance.choice(("S", "S", ".5S", ".120S"))))
    time = "".join(f"{count}{unit}" for count, unit in parts if chance.random() < 0.7)
    return f"P{f'{days}D' if days else ''}{'T' if time else ''}{time}"


def _uuid(chance: Chance) -> str:
    text = UUID_TEXT.replace("0", chance.choice("0123456789abcdef"))
    return chance.choice((text, text, text, text.upper(), text.replace("-", "")))


def _label(chance: Chance) -> str:
    return chance.choice(("a", "example", "mail", "3com", "a-b", "x1", "test", "x" * 20))


def _email(chance: Chance) -> str:
    local = chance.choice(("a", "user.name", "User.Name", "x_y+z", "Info", "-", "1"))
    return f"{local}@{_label(chance)}.{_label(chance)}.{chance.choice(('com', 'de', 'test'))}"


def _url(chance: Chance) -> str:
    scheme = chance.choice(("http", "https", "https", "ftp", "ws"))
    host = f"{_label(chance)}.{_label(chance)}{chance.choice(('', '.com', ':80', ':8080'))}"
    path = "".join(chance.choice(("/", "/a", "/a.b", "/..", "/.", "/%20")) for _ in range(3))
    rest = chance.choice(("", "?", "?x=1&y=%20", "#top", "?'"))
    return f"{scheme}://{host}{chance.choice(('', path + rest))}"


def _decimal(chance: Chance) -> str:
    return f"{chance.randrange(-100, 100)}{chance.choice(('', '.5', '.50', '.000001'))}"


def _hard(kind: str) -> Callable[[Chance], str]:
    return lambda chance: chance.choice(HARD[kind])


#: What makes a valid cell, by kind.
VALID: Mapping[str, Callable[[Chance], str]] = {
    "str": _text,
    "int": _int,
    "float": _float,
    "decimal": _decimal,
    "bool": _bool,
    "date": _date,
    **dict.fromkeys(("datetime", "aware", "naive"), _datetime),
    "time": _time,
    "timedelta": _timedelta,
    "uuid": _uuid,
    "bytes": _text,
    "choice": _hard("choice"),
    "number": _hard("number"),
    "email": _email,
    "url": _url,
    "union": lambda chance: VALID[chance.choice(("int", "float", "bool", "date", "datetime"))](
        chance
    ),
}
