"""The Python functions that jobs call for each row."""

import hashlib


def enrich(row: dict[str, str]) -> dict[str, object]:
    """The row with its e-mail address hashed, its name in capitals and its score rounded."""
    return {
        **row,
        "name": row["name"].upper(),
        "email": hashlib.sha256(row["email"].encode()).hexdigest(),
        "score": round(float(row["score"]), 1),
    }
