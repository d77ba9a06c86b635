"""What is told of a shadow that nothing is known of, beside traffic and without any."""

from __future__ import annotations

from flows.production.endpoints import World
from penstock.flows.production.shadows import list_shadows


def test_a_shadow_that_answers_nothing_beside_traffic_is_not_without_traffic(world: World) -> None:
    revision = world.deploy(1, shadows=(2,))

    def sentence() -> str:
        with world.project.database.read() as connection:
            [shadow] = list_shadows(connection, revision)
        return shadow.sentence

    assert sentence() == "no traffic yet"
    world.traffic("stable", 30, 2)
    assert "nothing is told of it yet, beside 28 requests that clients were answered: it hangs" in sentence()
