"""The gate: Great Expectations over raw columns, and the pages and records that come of it."""
