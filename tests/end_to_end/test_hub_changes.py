"""The hub changes under a running service: made anew, grown, or silent on an open link."""

from pathlib import Path

from tests.end_to_end.hub_here import hushed, metric, wait_for, with_hub
from tests.end_to_end.plant import Plant, stream

QUICK = {"motion": stream(seal={"max_samples": 2_000, "max_age": "1 s"})}


def made(folder: Path, **receive: str) -> Plant:
    plant = Plant(folder)
    plant.settings["streams"] = QUICK
    plant.settings["receive"] = {"look_every": "1 s", **receive}
    return plant


def test_a_hub_that_was_made_anew_stops_the_service(tmp_path: Path) -> None:
    plant = made(tmp_path, look_every="1 h")  # so that the link finds out, not the minute's look
    with with_hub(plant) as hub:
        service = plant.start()
        plant.send(100)
        plant.complete()
        before = hub.next()
        hub.make_anew()
        plant.send(300)  # its numbers pass those of the old one
        assert service.wait(60) == 2
        assert "was created anew while the service ran" in (tmp_path / "one.log").read_text()
        report = plant.report(against=False)
        assert (report.batched, report.wrong) == (before, False), "nothing of the new hub is in it"
        assert plant.start().wait(60) == 2
        assert "another blobs.folder" in (tmp_path / "one.log").read_text()
        plant.settings["blobs"] = {"folder": str(tmp_path / "second")}
        plant.start()
        wait_for((tmp_path / "second" / "headrace.json").exists)
        (tmp_path / "blobs").rename(tmp_path / "first")
        (tmp_path / "blobs").symlink_to(tmp_path / "second")
        report = plant.until(lambda r: r.batched >= hub.next())
        assert (report.batched, report.lost.count) == (hub.next(), 0)


def test_a_hub_that_was_made_anew_is_noticed_in_silence_too(tmp_path: Path) -> None:
    plant = made(tmp_path)
    with with_hub(plant) as hub:
        service = plant.start()
        plant.send(50)
        plant.complete()
        hub.make_anew()
        assert service.wait(60) == 2
        assert "was created anew while the service ran" in (tmp_path / "one.log").read_text()


def test_partitions_that_are_added_are_read_without_a_restart(tmp_path: Path) -> None:
    plant = made(tmp_path)
    with with_hub(plant, partitions=2) as hub:
        service = plant.start()
        plant.send(150)
        plant.until(lambda report: report.batched > 50)
        assert sorted(plant.report(against=False).partitions) == ["0", "1"]
        hub.restart(partitions=4)
        plant.send(400, sensors=12)
        report = plant.complete()
        assert service.poll() is None
        assert sorted(report.partitions) == ["0", "1", "2", "3"]
        assert hub.next(2) + hub.next(3) > 0
        assert report.partitions["2"]["to"] == hub.next(2) - 1
        assert metric(tmp_path, "headrace_partitions_owned") == 5  # one is `redrive`
        plant.stop()
        plant.start()  # a start knows them from the hub, and where they begin
        plant.send(100, sensors=12)
        assert plant.complete().sent == plant.senders.read_text().count("\n")


def test_a_link_that_falls_silent_is_opened_anew(tmp_path: Path) -> None:
    plant = made(tmp_path, silent_after="3 s")
    with with_hub(plant, partitions=1) as hub:
        plant.start()
        plant.send(50)
        plant.complete()
        hub.hush()
        plant.send(100)
        assert hub.readers() == 1
        plant.complete()
        assert metric(tmp_path, "headrace_source_silent_total") == 1
        assert metric(tmp_path, "headrace_source_reopened_total") == 0


def test_after_the_third_silence_the_partition_is_attached_anew(tmp_path: Path) -> None:
    plant = made(tmp_path, silent_after="1 s")
    with with_hub(plant, partitions=1):
        plant.start()
        plant.send(50)
        plant.complete()
        with hushed():
            plant.send(50)
            wait_for(lambda: "silent 3 times in a row" in (tmp_path / "one.log").read_text())
        plant.complete()
        assert metric(tmp_path, "headrace_partition_reattached_total") >= 1


def test_numbers_that_begin_anew_in_the_same_hub_stop_the_service(tmp_path: Path) -> None:
    plant = made(tmp_path)
    with with_hub(plant, partitions=1) as hub:
        service = plant.start()
        plant.send(100)
        plant.complete()
        service.terminate()
        service.wait(60)
        before = hub.next()
        hub.begin_numbers_anew()
        plant.send(30)
        assert plant.start().wait(60) == 2
        said = (tmp_path / "one.log").read_text()
        assert f"ends at number {hub.next() - 1}, but {before - 1} was read from it" in said
        assert plant.report(against=False).batched == before
