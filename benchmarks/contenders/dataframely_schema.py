"""dataframely: a Schema, `filter(cast=True)`, and what it says of the rows that failed."""

from pathlib import Path

import dataframely as dy
import polars as pl

LIBRARIES = ("dataframely", "polars")


class Person(dy.Schema):
    """The same seven fields as the model's, and the row's place in the input."""

    _row = dy.UInt32()
    id = dy.Int64()
    name = dy.String()
    email = dy.String()
    age = dy.Int64()
    score = dy.Float64()
    active = dy.Bool()
    born = dy.Date()


# Polars casts no text to these two types; a null is then what the schema refuses.
_TYPED = {
    "active": pl.col("active").replace_strict(
        {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
    ),
    "born": pl.col("born").str.to_date("%Y-%m-%d", strict=False),
}


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with the rules that they break."""
    rows = pl.read_csv(
        source,
        infer_schema=False,
        empty_string_is_null=False,
        row_index_name="_row",
        row_index_offset=1,
    )
    good, failure = Person.filter(rows.with_columns(**_TYPED), cast=True)
    good.drop("_row").write_ndjson(output)
    details = failure.details()
    rules = [name for name in details.columns if name not in rows.columns]
    broken = pl.concat_list(
        pl.when(pl.col(rule) == "invalid").then(pl.lit(rule)) for rule in rules
    ).list.drop_nulls()
    reasons = details.select("_row", broken.alias("_errors"))
    rows.join(reasons, on="_row", maintain_order="right").write_ndjson(errors)
