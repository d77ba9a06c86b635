"""A batch job from and to a real S3 server, named by a remote of the repository."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flows.production.scoring.bench import Bench, bench
from penstock.base.errors import Conflict
from penstock.storage.resolve import open_backend
from servers.s3 import S3Server
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]


@pytest.mark.slow
def test_tables_in_a_bucket_are_scored_into_the_bucket(bench: Bench, s3_server: S3Server) -> None:
    bucket = s3_server.make_bucket()
    options = s3_server.options()
    lines = [f'["remote \\"lake\\""]\n    url = s3://{bucket}/lake\n']
    lines += [f"    {key} = {value}\n" for key, value in options.items()]
    config = bench.sample.project.root / ".dvc" / "config.local"
    config.write_text("".join(lines).replace('["', "['").replace('"]', "']").replace('\\"', '"'))
    store = open_backend(f"s3://{bucket}/lake", options)
    whole = pl.read_csv(bench.folder / "in.csv")
    store.put("in/a.csv", whole[:450].write_csv().encode())
    store.put("in/b.csv", whole[450:].write_csv().encode())
    for target in ("out.parquet", "out.csv", "parts"):
        done = bench("remote://lake/in", f"remote://lake/{target}")
        assert (done.tables, done.rows, done.answered, done.parts) == (2, 1000, 1000, 4)
        keys = sorted(one.key for one in store.list(target)) or [target]
        local = bench.folder / "got.parquet"
        frames = []
        for key in keys:
            if key.endswith("_SUCCESS"):
                continue
            store.download(key, local)
            frames.append(pl.read_csv(local) if key.endswith(".csv") else pl.read_parquet(local))
        found = pl.concat(frames)
        np.testing.assert_allclose(found["probability"].to_numpy(), bench.expected)
        assert found["prediction_id"].n_unique() == 1000
        with pytest.raises(Conflict):
            bench("remote://lake/in", f"remote://lake/{target}")
    assert store.exists("parts/_SUCCESS")
    assert not [one.key for one in store.list("") if ".parts/" in one.key]
    assert bench.counted() == 3000
    store.close()
