"""A `@schedule` as a CronWorkflow that Argo 4 reads, at rest where a job does the work."""

import pytest

from batching.errors import SettingError
from flows.deploy.cron import check_schedule, cron_workflow
from flows.deploy.request import Job
from tests.flows.deploy.argo_schema import faults
from tests.flows.deploy.conftest import EXAMPLES, SHIPPED, Compile, request_for

PLAIN = EXAMPLES / "plain_flow.py"


def test_a_flow_that_no_job_starts_is_started_by_its_schedule(compiled: Compile) -> None:
    request = request_for(PLAIN)
    cron = cron_workflow(compiled(request).template, request)
    assert cron is not None
    assert cron["spec"]["schedules"] == ["15 6 ? * MON-FRI"]
    assert cron["spec"]["timezone"] == "Europe/Helsinki"
    assert cron["spec"]["suspend"] is False
    assert cron["spec"]["workflowSpec"] == {"workflowTemplateRef": {"name": "plain-flow"}}
    assert "schedule" not in cron["spec"]  # which Argo 4 does not know
    assert faults(cron) == []


def test_under_a_job_it_rests_and_says_for_whom(compiled: Compile) -> None:
    template = compiled(request_for(SHIPPED)).template
    cron = cron_workflow(template, request_for(SHIPPED, jobs=(Job("motion"), Job("hourly"))))
    assert cron is not None
    assert cron["spec"]["schedules"] == ["0 * * * *"]  # of the article's six fields
    assert "timezone" not in cron["spec"]
    assert cron["spec"]["suspend"] is True
    assert cron["metadata"]["annotations"] == {"headrace/suspended-for": "motion hourly"}
    assert faults(cron) == []


def test_a_flow_without_schedule_has_none(compiled: Compile) -> None:
    request = request_for(EXAMPLES / "foreach_flow.py")
    assert cron_workflow(compiled(request).template, request) is None


@pytest.mark.parametrize(
    "schedule",
    ["0 * * * *", "*/5 0-6,22 1 JAN-mar ?", "0 0 ? * SUN", "5/10 0 1,15 * 0-6/2", "59 23 31 12 6"],
)
def test_what_argo_reads_is_taken(schedule: str) -> None:
    check_schedule(schedule)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("0 * * *", "five fields, '0 \\* \\* \\*' has 4"),
        ("0 0 L * *", "cannot read 'L' as day of month"),
        ("0 0 ? * 2#1", "cannot read '2#1' as day of week"),
        ("0 0 15W * ?", "cannot read '15W' as day of month"),
        ("0 0 ? * 7", "cannot read '7' as day of week"),  # EventBridge's Saturday, nobody's here
        ("60 0 * * *", "cannot read '60' as minute"),
        ("0 8-6 * * *", "cannot read '8-6' as hour"),
        ("0 */0 * * *", "cannot read '\\*/0' as hour"),
        ("0 0 0 * *", "takes 1-31"),
        ("0 0 * FOO *", "cannot read 'FOO' as month"),
    ],
)
def test_what_argo_cannot_read_is_refused(schedule: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        check_schedule(schedule)
