"""Errors of the batching room, grouped by what the caller does next.

BatchError
├── SettingError            stop at start-up; the operator corrects a setting
├── Transient               try again with backoff; the call may have been applied
│   ├── BufferUnavailable   Redis did not answer
│   │   └── BufferFull      Redis has no memory for an append: seal, commit, then try again
│   ├── StoreUnavailable    Blob Storage or the folder did not answer
│   ├── LauncherUnavailable the cluster or this machine could not be asked to start a run
│   └── LauncherBusy        as many runs as allowed are running; nothing was started
├── LauncherRefused         runs of a job cannot start or be seen until an operator helps
├── Leaving                 the partition is left before its events found room: drop them
├── NotDrained              the process ended with work undone; the next start does it
├── Reattach                forget the partition's state in memory and attach again
├── LogTrimmed              manifests that a job has not been handed were deleted
├── CorruptBuffer           what lies in Redis cannot be read: wipe the partition, attach again
├── WrongStore              the store is not the one it was: stop, an operator must look
├── WrongHub                the hub is not the one it was: stop, an operator must look
├── PositionLost            the hub dropped what comes next, and a setting says stop
├── CorruptObject           an object cannot be what its name says: stop reading, keep the object
└── NewerFormat             an object was written by a newer Headrace: upgrade this one
"""


class BatchError(Exception):
    """Base of every error raised on purpose by this room."""


class SettingError(BatchError):
    """A setting has no meaning; the message names it and says what it accepts."""


class Transient(BatchError):
    """The same call may succeed later; it may have been applied already."""


class BufferUnavailable(Transient):
    """Redis did not answer in time."""


class BufferFull(BufferUnavailable):
    """Redis took nothing of an append, since its memory is full; it still lets go."""


class StoreUnavailable(Transient):
    """The blob store did not answer in time."""


class LauncherUnavailable(Transient):
    """What starts runs did not answer; a run may have been started."""


class LauncherBusy(Transient):
    """No run can start now; nothing was started."""


class LauncherRefused(BatchError):
    """The cluster says no: a right, a template or a name stands in the way; others go on."""


class Leaving(BatchError):
    """Nothing was appended; whoever owns the partition next reads the events again."""


class NotDrained(BatchError):
    """Redis, the store or the hub did not let the service finish; the next start goes on there."""


class Reattach(BatchError):
    """What this owner remembers of its partition no longer holds; the message says why."""


class LogTrimmed(BatchError):
    """Batches of a job were deleted before a run covered them; an operator must look."""


class CorruptBuffer(BatchError):
    """Something in Redis is cut off, or of a version that this one does not know."""


class WrongStore(BatchError):
    """The store belongs to another hub or group, or was replaced while the service ran."""


class WrongHub(BatchError):
    """The hub was created anew, or its numbers began anew, while the store goes on from before."""


class PositionLost(BatchError):
    """The hub no longer has what comes next, and `on_lost_position: stop` says to stop there."""


class CorruptObject(BatchError):
    """A stored object and its name disagree."""


class NewerFormat(BatchError):
    """A stored object has a format number above the one this version knows."""
