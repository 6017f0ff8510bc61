"""The data set that veRL insists on: it is counted, never trained on."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, rows: int) -> None:
    """Write ``rows`` rows of the form that veRL's loader reads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    prompt = [{"role": "user", "content": "def f(a):\n    return a"}]
    table = pa.Table.from_pylist(
        [
            {
                "data_source": "selfplay",
                "prompt": prompt,
                "ability": "code",
                "reward_model": {"style": "rule", "ground_truth": ""},
                "extra_info": {"split": "train", "index": index},
            }
            for index in range(rows)
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
