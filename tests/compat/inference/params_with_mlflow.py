"""A model of MLflow's pyfunc that takes parameters, and one that takes none; run with the Python of MLflow: what its scoring
application answers for both.

python params_with_mlflow.py FOLDER: requests as JSON on standard input, answers as JSON on standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from pathlib import Path

CODE = """\
import mlflow


class Scaled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        told = params or {}
        return model_input["hour"].to_numpy() * told.get("factor", 1.0) + sum(told.get("offsets", ()))


mlflow.models.set_model(Scaled())
"""
PARAMS = {"factor": 2.0, "offsets": [1.0, 2.0]}


def save(folder: Path) -> tuple[Path, Path]:
    """Write the model that takes parameters and the one that takes none; return their folders."""
    import mlflow
    import pandas as pd

    (folder / "scaled.py").write_text(CODE)
    table = pd.DataFrame({"hour": [1.0, 2.0]})
    warnings.simplefilter("ignore")
    for name, params in (("with", PARAMS), ("without", None)):
        signature = mlflow.models.infer_signature(table, [1.0, 2.0], params)
        mlflow.pyfunc.save_model(
            str(folder / name),
            python_model=str(folder / "scaled.py"),
            signature=signature,
            pip_requirements=[],
        )
    return folder / "with", folder / "without"


def main(folder: str) -> None:
    """Answer the requests with both."""
    import mlflow
    from mlflow.pyfunc import scoring_server
    from score_with_mlflow import ask

    answers, requests = [], json.load(sys.stdin)
    for path in save(Path(folder)):
        application = scoring_server.init(mlflow.pyfunc.load_model(str(path)))
        answers.append([asyncio.run(ask(application, *request)) for request in requests])
    print("answers", json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1])
