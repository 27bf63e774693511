"""The CronWorkflow of a flow with `@schedule`: Argo 4's form, at rest where a job does the work."""

import json
import re
from typing import Any

from batching.errors import SettingError
from flows.deploy.dressing import MANAGED_BY
from flows.deploy.request import Request

Json = dict[str, Any]
SUSPENDED_FOR = "headrace/suspended-for"
START_WITHIN_SECONDS = 3540  # as Metaflow: a controller that was away starts what it missed
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_FIELDS: "tuple[tuple[str, int, int, list[str]], ...]" = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, ["", *_MONTHS]),
    ("day of week", 0, 6, _DAYS),
)


def cron_workflow(template: Json, request: Request) -> "Json | None":
    """Describe the CronWorkflow of a compiled template; None if the flow has no `@schedule`.

    Raises:
        SettingError: Argo could not read the schedule.

    """
    found = template["metadata"]["annotations"].get("metaflow/cron")
    if found is None:
        return None
    facts = json.loads(found)
    check_schedule(facts["schedule"])
    name, jobs = template["metadata"]["name"], [job.name for job in request.jobs]
    annotations = {SUSPENDED_FOR: " ".join(jobs)} if jobs else {}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {
            "name": name,
            "namespace": template["metadata"]["namespace"],
            "labels": {"app.kubernetes.io/part-of": "metaflow", **MANAGED_BY},
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {
            "schedules": [facts["schedule"]],
            **({"timezone": facts["tz"]} if facts.get("tz") else {}),
            "suspend": bool(jobs),
            "startingDeadlineSeconds": START_WITHIN_SECONDS,
            "successfulJobsHistoryLimit": 10000,  # the template's TTL decides, not a number
            "failedJobsHistoryLimit": 10000,
            "workflowSpec": {"workflowTemplateRef": {"name": name}},
        },
    }


def check_schedule(schedule: str) -> None:
    """Make sure that Argo can read a schedule: five fields, without EventBridge's own signs.

    Raises:
        SettingError: it cannot; the message says where.

    """
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        raise SettingError(f"@schedule: Argo reads five fields, {schedule!r} has {len(fields)}")
    for text, (what, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            if not _readable(part, low, high, names):
                raise SettingError(
                    f"@schedule: Argo cannot read {part!r} as {what} of {schedule!r}: it takes"
                    f" {low}-{high}, * and ?, ranges and /steps"
                )


def _readable(part: str, low: int, high: int, names: "list[str]") -> bool:
    match = re.fullmatch(r"(\*|\?|(\w+)(?:-(\w+))?)(?:/([1-9]\d*))?", part)
    if match is None:
        return False
    ends = [_number(each, names) for each in (match[2], match[3]) if each]
    return all(low <= end <= high for end in ends) and ends == sorted(ends)


def _number(text: str, names: "list[str]") -> int:
    if text.isdecimal():
        return int(text)
    return names.index(text.upper()) if text.upper() in names else -1
