"""Train gradient boosting on what is known before departure."""

from pathlib import Path

import numpy as np
import polars as pl
import yaml
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import penstock


def main() -> None:
    """Fit the model and save it as a model folder."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    table = pl.read_parquet("data/train.parquet")
    inputs = table.select(params["features"])
    text = [name for name, dtype in inputs.schema.items() if dtype == pl.String]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    boost = HistGradientBoostingClassifier(
        categorical_features=list(range(len(text))),
        learning_rate=params["train"]["learning_rate"],
        max_iter=params["train"]["max_iter"],
        random_state=params["train"]["seed"],
    )
    model = make_pipeline(make_column_transformer((encode, text), remainder="passthrough"), boost)
    model.fit(inputs, table["late"].to_numpy())
    penstock.save_model(model, "models/delay", inputs.head(100), optional=params["optional"])
    print(f"trained on {inputs.height:,} flights and {inputs.width} features")


if __name__ == "__main__":
    main()
