"""The dashboard of features against training."""

from __future__ import annotations

from penstock.monitoring.grafana.boards import ENDPOINT, OWN, Board, Panel, Query, Row, Variable
from penstock.monitoring.grafana.endpoint import ROUTE

FEATURE = Variable(
    name="feature",
    label="Feature",
    query='label_values(penstock_feature_drift_psi{endpoint=~"$endpoint"}, feature)',
)
ON = f'{OWN},route=~"$route"'
CHOSEN = f'{ON},feature=~"$feature"'
BY = "endpoint, version, route, feature"
NAMED = "{{route}} {{version}} {{feature}}"


def _lines(title: str, description: str, metric: str, unit: str = "short", distance: str = "") -> Panel:
    chosen = f'{CHOSEN},distance="{distance}"' if distance else CHOSEN
    query = Query(f"max by ({BY}) ({metric}{{{chosen}}})", NAMED)
    return Panel(title=title, description=description, unit=unit, queries=(query,), least=0, width=12)


BOARD = Board(
    uid="penstock-drift",
    title="Penstock / Drift",
    description="How far live features are from those of training.",
    variables=(ENDPOINT, ROUTE, FEATURE),
    rows=(
        Row(
            "Most drifted",
            (
                Panel(
                    title="The ten features that drifted most",
                    description="Population stability index, less what chance gives; 0.1 is a shift that matters.",
                    kind="bars",
                    queries=(Query(f"topk(10, max by ({BY}) (penstock_feature_drift_psi{{{ON}}}))", NAMED),),
                    limits=((None, "green"), (0.1, "yellow"), (0.25, "red")),
                    least=0,
                    width=16,
                    height=10,
                ),
                Panel(
                    title="Rows compared",
                    description="Rows of the windows that were compared, and features that are not told here.",
                    queries=(
                        Query(
                            f"max by (endpoint, version, route) (penstock_drift_rows{{{ON}}})",
                            "{{route}} {{version}} rows",
                        ),
                        Query(
                            f"max by (endpoint, version, route) (penstock_features_untold{{{ON}}})",
                            "{{route}} {{version}} features left out",
                        ),
                    ),
                    least=0,
                    height=10,
                ),
            ),
        ),
        Row(
            "Over time",
            (
                _lines(
                    "Population stability index", "Of all bins of a feature.", "penstock_feature_drift_psi"
                ),
                _lines(
                    "Kolmogorov-Smirnov distance",
                    "The largest gap between the distributions of a number.",
                    "penstock_feature_drift_ks",
                    "percentunit",
                ),
                *(
                    _lines(title, description, "penstock_feature_drift_distance", distance=name)
                    for name, title, description in (
                        (
                            "wasserstein",
                            "Wasserstein distance",
                            "How far a number's values moved, in standard deviations of training.",
                        ),
                        (
                            "jensen_shannon",
                            "Jensen-Shannon distance",
                            "Between the shares of a feature's bins, from 0 to 1.",
                        ),
                        (
                            "chi_square",
                            "Chi-square effect",
                            "Cohen's w of the shares of a feature's bins: 0.1 is small, 0.3 medium, 0.5 large.",
                        ),
                    )
                ),
                _lines(
                    "Never seen in training",
                    "Share of a feature's texts that training never had.",
                    "penstock_feature_unseen_ratio",
                    "percentunit",
                ),
                _lines(
                    "Missing",
                    "Share of rows without the feature.",
                    "penstock_feature_missing_ratio",
                    "percentunit",
                ),
            ),
        ),
    ),
    page="/endpoints/${endpoint}",
)
