"""What one would write by hand: Starlette, JSON and scikit-learn. python plain.py MODEL PORT."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

with Path(sys.argv[1]).open("rb") as file:
    MODEL = pickle.load(file)


async def predict(request: Request) -> JSONResponse:
    """Answer one request."""
    body = await request.json()
    tensor = body["inputs"][0]
    rows = np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"])
    probabilities = MODEL.predict_proba(rows)
    classes = MODEL.classes_[probabilities.argmax(axis=1)]
    return JSONResponse(
        {
            "model_name": "bench",
            "outputs": [
                {"name": "prediction", "shape": [len(rows)], "datatype": "INT64", "data": classes.tolist()},
                {
                    "name": "probability",
                    "shape": [len(rows)],
                    "datatype": "FP64",
                    "data": probabilities[:, -1].tolist(),
                },
            ],
        }
    )


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/v2/models/bench/infer", predict, methods=["POST"])]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )
