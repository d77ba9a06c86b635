"""Save MODEL as an MLflow folder: python save_mlflow.py MODEL FOLDER."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import mlflow.sklearn

if __name__ == "__main__":
    with Path(sys.argv[1]).open("rb") as file:
        mlflow.sklearn.save_model(pickle.load(file), sys.argv[2], serialization_format="pickle")
