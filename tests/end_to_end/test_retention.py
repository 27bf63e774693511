"""A store that keeps nothing longer than a second, beside a service that goes on."""

from pathlib import Path

from tests.end_to_end.plant import Plant, running

SHORT = dict.fromkeys(("bundles", "dead_letters", "superseded", "orphans", "interval"), "1 s")


def manifests(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("blobs/*/log/*/0/*/*.json"))


def started(plant: Plant) -> None:
    """Start a service, and wait until it says where it can be asked to drain."""
    door = plant.folder / "http.json"
    door.unlink(missing_ok=True)
    plant.start()
    plant.until(lambda _: door.exists())


def test_what_is_old_goes_and_what_is_left_is_complete(tmp_path: Path) -> None:
    with running(Plant(tmp_path, partitions=1, settings={"retention": SHORT})) as plant:
        started(plant)
        for _ in range(3):
            plant.send(60)
            plant.drain()
        plant.until(lambda _: (found := manifests(tmp_path)) == [] or found[0] > 0)
        plant.stop()
        plant.senders.unlink()
        plant.settings["retention"] = {"bundles": "keep"}
        started(plant)
        plant.send(60)
        plant.drain()
        report = plant.complete()
        assert report.partitions["0"]["from"] > 0
        assert manifests(tmp_path)[0] > 0
