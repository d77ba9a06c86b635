"""A gate reads the held-out table once and scores it once a model, however many checks ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import penstock
from penstock.base.errors import Invalid
from penstock.flows.models import judging
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.evidence import answers
from penstock.flows.models.evidence import held_out as held_out_module
from penstock.flows.models.evidence.held_out import HeldOutTable
from penstock.flows.models.folders import files_of_folder
from penstock.project.settings import ModelSettings
from penstock.registry.entities import Manifest
from penstock.registry.gates.check import Evidence, Named, Outcome
from penstock.registry.gates.judge import run_checks
from penstock.registry.gates.kinds.baseline import BaselineGate, check_baseline
from penstock.registry.gates.kinds.calibration import CalibrationGate, check_calibration
from penstock.registry.gates.kinds.champion import ChampionGate, check_champion
from penstock.registry.gates.kinds.fairness import FairnessGate, check_fairness
from penstock.serving.loaders import ModelFiles, load_model
from projects import Sample
from registry.gates.asking import gates


def test_many_checks_read_and_score_the_held_out_rows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 5, "late": [0, 0, 1, 1] * 5})
    frame.write_csv(tmp_path / "test.csv")
    model = LogisticRegression().fit(frame.select("x"), frame["late"].to_numpy())
    for name in ("new", "old"):
        penstock.save_model(model, str(tmp_path / name), frame.select("x"))
    settings = ModelSettings(name="m", path="new", test="test.csv", label="late")
    held_out = HeldOutTable(
        tmp_path,
        Candidate(settings, tmp_path / "new", Manifest(())),
        files_of_folder(tmp_path / "new", "m", 0, "d1"),
        files_of_folder(tmp_path / "old", "m", 1, "d0"),
    )
    counts = {"load_table": 0, "load_model": 0}
    for function, module in zip(counts, (held_out_module, answers), strict=True):
        original = getattr(module, function)

        def counted(given: object, name: str = function, call: object = original) -> object:
            counts[name] += 1
            return call(given)  # type: ignore[operator]

        monkeypatch.setattr(module, function, counted)
    for _check in range(3):
        assert held_out.labels().tolist() == frame["late"].to_list()
        assert np.array_equal(held_out.candidate_scores(), held_out.champion_scores())
    assert counts == {"load_table": 1, "load_model": 2}


def test_rows_without_a_label_are_not_judged(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 5, "late": [0, 0, 1, 1] * 5})
    model = LogisticRegression().fit(frame.select("x"), frame["late"].to_numpy())
    penstock.save_model(model, str(tmp_path / "new"), frame.select("x"))
    settings = ModelSettings(name="m", path="new", test="test.parquet", label="late")
    for wrong in (None, float("nan")):
        part = frame.with_columns(late=pl.when(pl.col("x") > 2).then(pl.lit(wrong)).otherwise(pl.col("late")))
        part.write_parquet(tmp_path / "test.parquet")
        held_out = HeldOutTable(
            tmp_path,
            Candidate(settings, tmp_path / "new", Manifest(())),
            files_of_folder(tmp_path / "new", "m", 0, "d1"),
            None,
        )
        with pytest.raises(Invalid, match=r"5 of 20 rows of test\.parquet have no 'late'"):
            held_out.scored("accuracy")


def held_out_of(root: Path, frame: pl.DataFrame, kind: str) -> Evidence:
    """Return what checks look at where a model answers the column `says` of a table."""
    frame.write_parquet(root / "test.parquet")
    settings = ModelSettings(name="m", path="new", test="test.parquet", label="late")
    candidate = Candidate(settings, root / "new", Manifest(()))
    held_out = HeldOutTable(root, candidate, files_of_folder(root / "new", "m", 0, "d1"), None)
    held_out.__dict__["_answers"] = answers.Answers({kind: frame["says"].to_numpy()}, None)
    named = Named(test="test.parquet", label="late", reference="test.parquet")
    return Evidence(root, {}, held_out, named=named)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "gate",
    [
        "slices: {columns: [x], metric: brier, max_drop: 0.1, min_rows: 5}",
        "slices: {columns: [x], metric: accuracy, max_drop: 0.9, min_rows: 5}",
        "fairness: {columns: [x], max_difference: 0.99, min_rows: 5}",
        "baseline: {metric: accuracy, min_rows: 10, resamples: 100}",
    ],
)
def test_rows_that_are_answered_by_no_number_are_not_judged_as_if_they_were(
    tmp_path: Path, gate: str, wrong: float
) -> None:
    penstock.save_model(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), str(tmp_path / "new"), [[0.0]])
    late = [0, 1] * 20
    says = [wrong if at < 4 else 0.1 + 0.8 * one for at, one in enumerate(late)]
    frame = pl.DataFrame({"x": [0, 0, 1, 1] * 10, "late": late, "says": says})
    (found,) = run_checks(gates(f"  - {gate}"), held_out_of(tmp_path, frame, "probability"))
    assert found.status == "error"
    assert "the candidate answers 4 of 40 rows of test.parquet by no finite number" in found.sentence


@pytest.mark.parametrize(
    "gate",
    [
        "slices: {columns: [x], metric: mae, max_drop: 0.1, min_rows: 5}",
        "champion: {metric: mae, min_rows: 10, resamples: 100}",
        "champion: {metric: mae, min_rows: 10, mode: non_inferior}",
    ],
)
def test_a_label_that_is_infinite_hides_no_worse_model(tmp_path: Path, gate: str) -> None:
    penstock.save_model(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), str(tmp_path / "new"), [[0.0]])
    frame = pl.DataFrame(
        {"x": [0, 1] * 20, "late": [*map(float, range(39)), float("inf")], "says": [0.0] * 40}
    )
    evidence = held_out_of(tmp_path, frame, "prediction")
    evidence.held_out.__dict__["_champion"] = files_of_folder(tmp_path / "new", "m", 7, "d0")
    best = answers.Answers({"prediction": np.arange(40.0)}, None)
    evidence.held_out.__dict__["_champion_answers"] = best
    (found,) = run_checks(gates(f"  - {gate}"), evidence)
    assert found.status == "error"
    assert "1 of 40 rows of test.parquet has an infinite 'late'" in found.sentence


def test_rows_without_a_value_are_a_group_that_no_text_hides(tmp_path: Path) -> None:
    penstock.save_model(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), str(tmp_path / "new"), [[0.0]])
    who, late = [None, "None", "", "x"] * 100, [0, 0, 0, 0, 1, 1, 1, 1] * 50
    wrong = [1.0 - one if who[at] is None else float(one) for at, one in enumerate(late)]
    frame = pl.DataFrame({"who": who, "late": late, "says": wrong})
    evidence = held_out_of(tmp_path, frame, "probability")
    assert evidence.held_out.groups("who")[:4].tolist() == [0, 2, 1, 3]
    asked = (
        "  - slices: {columns: [who], metric: accuracy, max_drop: 0.3, resamples: 100}\n"
        "  - fairness: {columns: [who], metric: equal_opportunity, max_difference: 0.3, resamples: 100}"
    )
    slices, fairness = run_checks(gates(asked), evidence)
    assert (slices.status, fairness.status) == ("fail", "fail")
    names = {"who has no value", "who is None", "who is ", "who is x"}
    assert {one["slice"] for one in slices.evidence["slices"]} == set(fairness.evidence["rows"]) == names
    assert "where who has no value" in slices.sentence


def test_a_champion_check_without_a_champion_asks_for_what_it_names(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 5, "late": [0, 0, 1, 1] * 5, "day": [1, 2] * 10})
    frame.write_parquet(tmp_path / "test.parquet")
    model = LogisticRegression().fit(frame.select("x"), frame["late"].to_numpy())
    penstock.save_model(model, str(tmp_path / "new"), frame.select("x"))
    files = files_of_folder(tmp_path / "new", "m", 1, "d1")

    def judge(group: str | None, champion: ModelFiles | None, label: str | None, test: str | None) -> Outcome:
        settings = ModelSettings(name="m", path="new", test=test, label=label)
        candidate = Candidate(settings, tmp_path / "new", Manifest(()))
        held_out = HeldOutTable(tmp_path, candidate, files, champion)
        gate = ChampionGate(metric="log_loss", mode="not_worse", group=group)
        return check_champion(gate, Evidence(tmp_path, {}, held_out))

    for champion in (None, files):
        assert judge("day", champion, "late", "test.parquet").status == "pass"
        for group, label, test, code in (
            ("nope", "late", "test.parquet", "gate.no_group_column"),
            (None, "latte", "test.parquet", "data.no_column"),
            (None, "late", "nowhere.parquet", "data.bad_table"),
            (None, "late", None, "gate.no_held_out"),
            (None, None, "test.parquet", "gate.no_held_out"),
        ):
            with pytest.raises(Invalid) as told:
                judge(group, champion, label, test)
            assert told.value.code == code
            assert "champion " not in f"{told.value.message} {told.value.hint}"


def test_a_model_that_does_not_load_is_not_judged(tmp_path: Path) -> None:
    sample = Sample.make(tmp_path / "project", "trained")
    data = sample.root / "models/late/model.skops"
    whole = data.read_bytes()
    data.unlink()
    data.write_bytes(whole[: len(whole) // 2])
    for name in ("dvc.yaml", "dvc.lock"):  # no stage made it
        (sample.root / name).unlink()
    with pytest.raises(Invalid, match="the model in models/late does not load") as error:
        judging.run_gate(sample.project)
    assert error.value.code == held_out_module.DOES_NOT_LOAD
    sample.close()


def test_checks_of_the_candidate_alone_need_no_champion_that_loads(tmp_path: Path) -> None:
    late = np.arange(300) % 2
    frame = pl.DataFrame(
        {"x": late + np.arange(300) % 7 / 3, "late": late, "sex": np.array(["f", "m"])[np.arange(300) // 150]}
    )
    for table in ("test", "train"):
        frame.write_parquet(tmp_path / f"{table}.parquet")
    for name in ("new", "old"):
        model = LogisticRegression().fit(frame.select("x"), late)
        penstock.save_model(model, str(tmp_path / name), frame.select("x"))
    (tmp_path / "old" / "model.skops").write_bytes(b"")
    settings = ModelSettings(name="m", path="new", test="test.parquet", label="late")
    files = [files_of_folder(tmp_path / name, "m", 0, name) for name in ("new", "old")]
    held_out = HeldOutTable(tmp_path, Candidate(settings, tmp_path / "new", Manifest(())), *files)
    named = Named(label="late", test="test.parquet", reference="train.parquet")
    evidence = Evidence(tmp_path, {}, held_out, named=named)
    for check, status in (
        ("fairness: {columns: [sex], max_difference: 0.5}", "pass"),
        ("calibration: {max_error: 0.5}", "pass"),
        ("baseline: {metric: mae, min_gain: 0.1}", "pass"),
        ("slices: {metric: roc_auc, columns: [sex], max_drop: 0.1}", "error"),
    ):
        (found,) = run_checks(gates(f"  - {check}"), evidence)
        assert found.status == status, (check, found.sentence)


def test_classes_are_compared_by_their_names_and_many_by_their_log_loss(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = np.array(["a", "b", "c"])
    truth = rng.integers(0, 3, 400)
    frame = pl.DataFrame({"x": truth + rng.normal(0, 0.7, 400), "kind": names[truth]})
    frame.write_csv(tmp_path / "test.csv")
    inputs = frame.select("x")
    good = LogisticRegression().fit(inputs, frame["kind"].to_numpy())
    poor = LogisticRegression(C=1e-4).fit(inputs, frame["kind"].to_numpy())
    narrow = LogisticRegression().fit(inputs.filter(frame["kind"] != "c"), names[truth[truth < 2]])
    for name, model in (("good", good), ("poor", poor), ("narrow", narrow)):
        penstock.save_model(model, str(tmp_path / name), inputs)

    def held_out(new: str, old: str) -> HeldOutTable:
        settings = ModelSettings(name="m", path=new, test="test.csv", label="kind")
        return HeldOutTable(
            tmp_path,
            Candidate(settings, tmp_path / new, Manifest(())),
            files_of_folder(tmp_path / new, "m", 0, new),
            files_of_folder(tmp_path / old, "m", 1, old),
        )

    gate = ChampionGate(metric="log_loss", max_drop=0.01, resamples=200)
    better = check_champion(gate, Evidence(tmp_path, {}, held_out("good", "poor")))
    worse = check_champion(gate, Evidence(tmp_path, {}, held_out("poor", "good")))
    exact = [log_loss(frame["kind"], one.predict_proba(inputs)) for one in (good, poor)]
    assert (better.status, worse.status) == ("pass", "fail")
    assert [better.evidence["candidate"], better.evidence["baseline"]] == pytest.approx(exact)
    assert better.evidence["low"] < exact[1] - exact[0] < better.evidence["high"]
    lacking = held_out("good", "narrow").of_classes("accuracy")
    assert lacking is not None and lacking[2] is not None
    assert lacking[2].mean() == pytest.approx((narrow.predict(inputs) == frame["kind"].to_numpy()).mean())
    with pytest.raises(Invalid, match="roc_auc does not judge a classifier of 3 classes"):
        held_out("good", "poor").of_classes("roc_auc")
    with pytest.raises(Invalid, match="'c', which is none of the classes a, b"):
        held_out("narrow", "good").of_classes("roc_auc")


@pytest.mark.parametrize(("shift", "strange"), [(1, "2"), (5, "5")])
def test_labels_that_two_classes_do_not_have_are_an_error_in_every_comparison(
    tmp_path: Path, shift: int, strange: str
) -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, 450)
    frame = pl.DataFrame({"x": truth + rng.normal(0, 0.7, 450), "y": truth, "g": truth})
    model = LogisticRegression().fit(frame.select("x"), truth)
    for name in ("new", "old"):
        model.intercept_[:] = 50.0 if name == "new" else 0.0  # says 1 to every row
        penstock.save_model(model, str(tmp_path / name), frame.select("x"))
    mixed = frame.with_columns(
        y=pl.when(pl.int_range(pl.len()) < 10).then(int(strange)).otherwise(pl.col("y"))
    )
    for table in (frame.with_columns(pl.col("y") + shift), mixed):
        table.write_csv(tmp_path / "test.csv")
        held_out = HeldOutTable(
            tmp_path,
            Candidate(
                ModelSettings(name="m", path="new", test="test.csv", label="y"),
                tmp_path / "new",
                Manifest(()),
            ),
            files_of_folder(tmp_path / "new", "m", 0, "d1"),
            files_of_folder(tmp_path / "old", "m", 1, "d0"),
        )
        told = f"label 'y' has '{strange}', which is none of the classes 0, 1"
        for check in (
            "champion: {metric: accuracy, mode: not_worse}",
            "champion: {metric: roc_auc, max_drop: 0.1}",
            "slices: {columns: [g], metric: accuracy, max_drop: 0.2}",
            "calibration: {max_error: 0.9}",
        ):
            (found,) = run_checks(gates(f"  - {check}"), Evidence(tmp_path, {}, held_out))
            assert (found.status, told in found.sentence) == ("error", True), (check, found.sentence)


def test_a_metric_or_kind_of_two_classes_says_so_of_the_check_that_asked(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c"])[np.arange(300) % 3]
    frame = pl.DataFrame(
        {"x": np.arange(300) % 7 / 7, "kind": names, "sex": np.array(["f", "m"])[np.arange(300) % 2]}
    )
    for table in ("test", "train"):
        frame.write_parquet(tmp_path / f"{table}.parquet")
    model = LogisticRegression().fit(frame.select("x"), names)
    penstock.save_model(model, str(tmp_path / "new"), frame.select("x"))
    settings = ModelSettings(name="m", path="new", test="test.parquet", label="kind")
    files = files_of_folder(tmp_path / "new", "m", 0, "d")
    held_out = HeldOutTable(tmp_path, Candidate(settings, tmp_path / "new", Manifest(())), files, None)
    named = Named(label="kind", test="test.parquet", reference="train.parquet")
    evidence = Evidence(tmp_path, {}, held_out, named=named)
    with pytest.raises(Invalid, match="brier does not judge a classifier of 3 classes") as told:
        check_baseline(BaselineGate(metric="brier"), evidence)
    assert told.value.hint == "write `metric: log_loss` or `metric: accuracy` for this gate in penstock.yaml"
    for kind, ask in (
        ("fairness", lambda: check_fairness(FairnessGate(columns=("sex",), max_difference=0.1), evidence)),
        ("calibration", lambda: check_calibration(CalibrationGate(max_error=0.1), evidence)),
    ):
        with pytest.raises(Invalid, match=f"^{kind} is told of two classes, and the model is of more$"):
            ask()


def test_more_than_two_classes_are_served_with_a_probability_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frame = pl.DataFrame({"x": rng.normal(size=90)})
    labels = np.array(["a", "b", "c"])[np.arange(90) % 3]
    model = LogisticRegression().fit(frame, labels)
    penstock.save_model(model, str(tmp_path / "m"), frame)
    files = files_of_folder(tmp_path / "m", "m", 1, "d")
    predictor = load_model(files)
    found = predictor.predict({"x": frame["x"].to_numpy()}, 90)
    assert list(found) == ["prediction", "probability_a", "probability_b", "probability_c"]
    each = np.stack([found[f"probability_{one}"] for one in "abc"], axis=1)
    np.testing.assert_array_equal(each, model.predict_proba(frame))
    assert found["prediction"].tolist() == model.predict(frame).tolist()
    assert predictor.classes == ("a", "b", "c")


def test_a_model_that_tells_no_classes_is_compared_by_those_of_the_other() -> None:
    truth = ["no", "yes", "yes", "no"]
    own = answers.Answers({"prediction": np.array(["no", "yes", "no", "no"], dtype=object)}, None)
    sure = answers.Answers({"probability": np.array([0.1, 0.9, 0.8, 0.4])}, ("no", "yes"))
    for candidate, champion in ((own, sure), (sure, own)):
        labels, ours, theirs = answers.compare_by_classes(candidate, champion, truth, "roc_auc")
        assert labels.tolist() == [0.0, 1.0, 1.0, 0.0]
        scores = {id(candidate): ours.tolist(), id(champion): None if theirs is None else theirs.tolist()}
        assert scores[id(own)] == [0.0, 1.0, 0.0, 0.0]
        assert scores[id(sure)] == [0.1, 0.9, 0.8, 0.4]
