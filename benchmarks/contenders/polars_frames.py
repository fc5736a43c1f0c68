"""Polars: lazy frames, streamed to their sinks; types by hand-written expressions."""

from pathlib import Path

import polars as pl
from contenders.functions import enrich

LIBRARIES = ("polars",)

# A value that its cast cannot take becomes null, and no value of the input is null.
CASTS = {
    "id": pl.col("id").cast(pl.Int64, strict=False),
    "name": pl.col("name"),
    "email": pl.col("email"),
    "age": pl.col("age").cast(pl.Int64, strict=False),
    "score": pl.col("score").cast(pl.Float64, strict=False),
    "active": pl.col("active").replace_strict(
        {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
    ),
    "born": pl.col("born").str.to_date("%Y-%m-%d", strict=False),
}


def copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines without a model: each value is the text it was."""
    pl.scan_csv(source, infer_schema=False).sink_ndjson(output)


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with the names of the fields that did not pass."""
    rows = pl.scan_csv(
        source,
        infer_schema=False,
        empty_string_is_null=False,
        row_index_name="_row",
        row_index_offset=1,
    )
    typed = rows.with_columns(cast.alias(f"_{name}") for name, cast in CASTS.items())
    passes = pl.all_horizontal(pl.col(f"_{name}").is_not_null() for name in CASTS)
    failed = pl.concat_list(
        pl.when(pl.col(f"_{name}").is_null()).then(pl.lit(name)) for name in CASTS
    ).list.drop_nulls()
    accepted = typed.filter(passes).select(pl.col(f"_{name}").alias(name) for name in CASTS)
    rejected = typed.filter(~passes).select(*CASTS, "_row", failed.alias("_errors"))
    pl.collect_all(
        [accepted.sink_ndjson(output, lazy=True), rejected.sink_ndjson(errors, lazy=True)]
    )


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a function for each row: `map_elements` over a struct of its columns."""
    changed = {"name": pl.String, "email": pl.String, "score": pl.Float64}
    values = pl.struct(*changed).map_elements(enrich, return_dtype=pl.Struct(changed))
    rows = pl.scan_csv(source, infer_schema=False)
    rows.with_columns(values.struct.unnest()).sink_ndjson(output)
