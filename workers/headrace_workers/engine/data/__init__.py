"""Columns and files: from an upload to typed Parquet, and from Parquet to what algorithms take.

Ingest, all of it in blocks so that memory does not grow with the file::

    csv_files (string_values) ──┐
    ndjson_files (json_column) ─┤                    ┌─▶ parquet_files   data.parquet
    parquet_upload (parquet_    ├─▶ typed batches ───┼─▶ profile         profile.json
      pages, arrow_columns) ────┤   (arrow_types)    └─▶ sample_rows     rows.json
    media_zip ──────────────────┘

A dataset version is one Parquet file with the columns in the upload's order, in row groups of at most
8,192 rows, missing values as nulls. What a column *means* (category or text, say) is in the dataset's list of
columns, not in the file. An image or a sound is the bytes that were uploaded,
verified to decode.

Training fits `encoders`, `images` and `text` on training rows alone; `preprocessing` keeps them with the
version and applies them, the same code in training, batch and online prediction.

An upload comes from anybody. Whatever cannot be read is `headrace.errors.BadData` with the line or the member
and the reason; limits are constants of the modules, counted while reading and never taken from the file.
"""
