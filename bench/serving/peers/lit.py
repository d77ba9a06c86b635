"""The model behind LitServe: python lit.py MODEL PORT [BATCH]."""

import pickle
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from fastapi import Request


class Bench(litserve.LitAPI):
    """One estimator."""

    def setup(self, device: str) -> None:
        """Load it."""
        with Path(sys.argv[1]).open("rb") as file:
            self.model = pickle.load(file)

    def decode_request(self, request: Request) -> np.ndarray:
        """Read the rows; LitServe reads the annotation, and gives the JSON of the body for this one."""
        return np.array(request["rows"], dtype=np.float64)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Join requests of one row."""
        return np.concatenate(inputs)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """Part them again."""
        return [output[index : index + 1] for index in range(len(output))]

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return probabilities."""
        return self.model.predict_proba(rows)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """Write them."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    batch = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    api = Bench(max_batch_size=batch, batch_timeout=0.002) if batch > 1 else Bench()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )
