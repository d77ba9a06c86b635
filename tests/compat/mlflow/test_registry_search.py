"""Pages, orders, aliases and copies of the registry as MLflow's client asks for them."""

from __future__ import annotations

import pytest

from servers.tracking import Tracking


def test_searches_page_and_order(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        for n in range(5):
            client.create_registered_model(f"page-{n}", {"n": str(n)} if n else None)
            client.create_model_version(f"page-{n}", f"s3://bucket/{n}", tags={"n": str(n)})
        pages, token = [], None
        while True:
            page = client.search_registered_models("name LIKE 'page-%'", max_results=2, page_token=token)
            pages.append([one.name for one in page])
            token = page.token
            if not token:
                break
        by = lambda *a, **k: [m.name for m in client.search_registered_models(*a, **k)]
        vs = lambda *a, **k: [v.name for v in client.search_model_versions(*a, **k)]
        answer({
            "pages": pages,
            "missing": by("name LIKE 'page-%' AND tags.n != '1'"),
            "last": by("name LIKE 'page-%'", order_by=["name DESC"], max_results=1),
            "newest": by("name LIKE 'page-%'", order_by=["last_updated_timestamp DESC"], max_results=1),
            "source": vs("source_path = 's3://bucket/3'"),
            "tag": vs("tags.n = '2' AND name LIKE 'page%'"),
            "first": vs("name LIKE 'page-%'", order_by=["name ASC"], max_results=2),
            "none": vs("name LIKE 'page-%' AND version_number > 1"),
            "refused": [
                refused(client.search_registered_models, "bogus = 'x'")[0],
                refused(client.search_model_versions, "name = 'x'", 200001)[0],
                refused(client.search_registered_models, None, 1001)[0],
                refused(client.search_registered_models, None, 5, None, "bad")[0],
            ],
        })
        """
    )
    assert found == {
        "pages": [["page-0", "page-1"], ["page-2", "page-3"], ["page-4"]],
        "missing": ["page-2", "page-3", "page-4"],
        "last": ["page-4"],
        "newest": ["page-4"],
        "source": ["page-3"],
        "tag": ["page-2"],
        "first": ["page-0", "page-1"],
        "none": [],
        "refused": ["INVALID_PARAMETER_VALUE"] * 4,
    }


def test_aliases_move_and_go_with_their_version(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        client.create_registered_model("called")
        for _ in range(2):
            client.create_model_version("called", "s3://bucket/path")
        client.set_registered_model_alias("called", "blue", "1")
        client.set_registered_model_alias("called", "blue", "2")
        client.set_registered_model_alias("called", "green", "2")
        out = [{n: str(v) for n, v in client.get_registered_model("called").aliases.items()}]
        client.delete_registered_model_alias("called", "green")
        client.delete_registered_model_alias("called", "green")
        out.append(refused(client.get_model_version_by_alias, "called", "green"))
        client.delete_model_version("called", "2")
        out.append(client.get_registered_model("called").aliases)
        out.append(str(client.create_model_version("called", "s3://bucket/path").version))
        answer(out)
        """
    )
    assert found[0] == {"blue": "2", "green": "2"}
    assert found[1][0] == "INVALID_PARAMETER_VALUE"
    assert "Registered model alias green not found." in found[1][1]
    assert found[2:] == [{}, "3"]


def test_a_version_stays_what_it_was_and_is_copied_whole(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        import requests
        from sklearn.linear_model import LinearRegression
        with mlflow.start_run() as run:
            info = mlflow.sklearn.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="model", pip_requirements=["scikit-learn"],
                                            registered_model_name="kept")
        root = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow-artifacts/artifacts/"
        place = client.get_logged_model(info.model_id).artifact_location.split(":/")[1]
        client.set_model_version_tag("kept", "1", "k", "v")
        client.set_registered_model_alias("kept", "best", "1")
        copies = [client.copy_model_version(f"models:/kept{one}", "copy") for one in ("/1", "@best")]
        uris = {client.get_model_version_download_uri(*one) for one in (("kept", "1"), ("copy", "1"), ("copy", "2"))}
        changed = requests.put(root + place + "/MLmodel", data=b"changed").status_code
        refused_put = requests.put(root + uris.copy().pop().split(":/")[1] + "/MLmodel", data=b"x").status_code
        answer([[str(one.version) for one in copies], copies[0].source, copies[0].tags,
                copies[0].run_id == run.info.run_id, len(uris), changed, refused_put,
                float(mlflow.pyfunc.load_model("models:/copy/2").predict([[2.0]])[0])])
        """
    )
    assert found == [["1", "2"], "models:/kept/1", {"k": "v"}, True, 1, 200, 403, pytest.approx(2.0)]
