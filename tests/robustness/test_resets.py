from robustness.resets.__main__ import soak


def test_resets_of_a_hurrying_world_beside_a_traffic_manager():
    row = soak("fixed step of 0.05 s", 0.05, resets=3, cars=20)
    assert row["resets"] == 3
    assert row["cars"] > 50
    assert (row["clients that ended"], row["elsewhere"], row["left"]) == (0, 0, 0), row
