"""Whether the device that answers is the configured one.

A device with `identify` has to show its constants after each opening of the connection. On a serial
port whose name may stand for another adapter after the next start, each unit is known by what it
first answered to Read Device Identification, and the bus by the units that answer at all. Nothing
is asked while a connection lasts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from connectors.modbus.answering import AnsweringUnits
from connectors.modbus.constants import (
    NO_IDENTIFICATION,
    OBJECTS,
    Identification,
    described,
    is_identification,
    is_value,
    table_of,
    texts_of,
)
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.frame import (
    IdentificationRequest,
    ReadRequest,
    exception_cause,
    identification_objects,
)
from connectors.modbus.known_units import KnownUnits
from connectors.modbus.layout import layout_of
from connectors.modbus.options import Constant, ModbusDevice, device_options
from connectors.modbus.reader import ModbusTableReader
from connectors.modbus.transport import Reply
from connectors.modbus.unit import Unit
from edge_agent.sdk import (
    STATUS,
    Batch,
    Cause,
    DeviceError,
    DevicePlan,
    TagTable,
    cause,
    command,
    status_of_cause,
)

log = logging.getLogger(__name__)

#: Silences after which a unit that answers reads has no identification: of one that is asked for
#: the first time, and of one that had one. A single frame may always be lost.
NEW_SILENCES: Final = 2
KNOWN_SILENCES: Final = 3

#: Seconds between two looks at a device that is not the configured one: the first pause, doubled up
#: to the last.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0

#: Units that are asked in vain, for the sake of others, in one read: two silences in a row may end
#: a line.
_VAIN_CALLS: Final = 1

#: Requests for one identification: three texts of the basic category come in one answer, or in
#: three.
_MOST_PARTS: Final = 3

_REFUSALS: Final = frozenset({1, 2, 3})

Ask = Callable[[Sequence[ReadRequest], str], Awaitable[list[Reply]]]
"""Ask a device, by its id."""

Read = Callable[[TagTable], Awaitable[Batch]]


class Openings(Protocol):
    """What a `Link` counts."""

    openings: int
    losses: int


class _Checked:
    """One device and what is known of it in this process."""

    def __init__(self, plan: DevicePlan, endpoint: ModbusEndpoint) -> None:
        self.plan = plan
        self.options: ModbusDevice = device_options(plan.options)
        self.constants = self.options.identify
        self.learns = endpoint.unstable and not self.constants
        self.verified = -1
        """The opening in which it was last found to be the configured one."""
        self.without_since = -1
        """The loss of the port since which it is known to have no identification."""
        self.silences = 0
        self.dispute: DeviceError | None = None
        """Why it is not the configured one."""
        self.answered: Identification | None = None
        """What it answered in the place of its known identification."""
        self.accept = False
        """A person accepts whatever comes next."""
        self.pause = FIRST_PAUSE
        self.retry_at = 0.0


class IdentityCheck:
    """All checked devices of one connection."""

    def __init__(
        self,
        plans: Sequence[DevicePlan],
        endpoint: ModbusEndpoint,
        link: Openings,
        read: Read,
        ask: Ask,
    ) -> None:
        self._endpoint = endpoint
        self._link = link
        self._read = read
        self._ask = ask
        self._devices = {plan.id: _Checked(plan, endpoint) for plan in plans}
        self._by_unit = {device.options.unit: device for device in self._devices.values()}
        self._known = KnownUnits(plans[0].state if endpoint.unstable else None, endpoint.path)
        self._doubted = False
        """Whether the log says that other units answer."""
        self._answering: AnsweringUnits | None = None
        if endpoint.unstable and len(self._by_unit) > 1:
            self._answering = AnsweringUnits(self._by_unit, self._known)

    async def read(self, table: TagTable) -> Batch:
        """Read a table of a device that is the configured one. Raises DeviceError for any other."""
        device = self._devices[table.device]
        if self._answering is not None:
            self._answering.begin(self._link.losses)
        if device.constants or device.dispute is not None:
            await self._verify(device)
        try:
            batch = await self._read(table)
        except DeviceError as error:
            self._unanswered(device, error)
            raise
        opening = self._link.openings
        await self._verify(device)  # what was read is only now known to be of the configured device
        if opening != self._link.openings:
            raise DeviceError.of("modbus_reopened_meanwhile", where=_place(self._endpoint))
        if self._answering is None:
            return batch
        return await self._judged(batch, device, self._answering)

    def confirm(self) -> list[str]:
        """See `sdk.Confirmable`."""
        doubted = []
        for device in self._devices.values():
            if device.constants:
                device.retry_at = (
                    0.0  # what is written is asked for again, and stays as it is written
                )
                continue
            if device.dispute is not None:
                doubted.append(device.plan.id)
                if device.answered is not None:
                    self._known.identify(device.options.unit, device.answered)
                device.dispute = device.answered = None
                device.verified = -1
                device.without_since = -1
            device.accept = not self._link.openings  # made anew by this reload
        missing = [] if self._answering is None else self._answering.confirm()
        if missing:
            others = (
                device for device in self._devices.values() if device.options.unit not in missing
            )
            doubted += [device.plan.id for device in others if device.plan.id not in doubted]
        if doubted:
            log.warning("modbus-identity-confirmed devices=%s", ",".join(doubted))
        self._known.save()
        return doubted

    # --- one device -------------------------------------------------------------------------------

    async def _verify(self, device: _Checked) -> None:
        """Return when the device is the configured one, as far as can be said. Raises DeviceError
        when it is not."""
        if device.verified == self._link.openings or not (device.constants or device.learns):
            return
        now = asyncio.get_running_loop().time()
        if device.dispute is not None and now < device.retry_at:
            raise device.dispute
        if device.constants:
            for constant in device.constants:
                await self._compare_constant(device, constant)
            self._recognised(device)
        elif device.learns:
            await self._compare_identification(device)

    async def _compare_constant(self, device: _Checked, constant: Constant) -> None:
        texts = texts_of(constant)
        if texts:
            found = await self._identification(device)
            if not is_identification(constant, found):
                self._refuse(device, described(texts), described(found))
            return
        reader = ModbusTableReader(
            table_of(constant, device.plan.id, device.options.areas),
            Unit(device.plan.id, device.options),
        )
        wave = reader.first()
        replies = await self._ask(wave, device.plan.id)
        (reply,) = replies
        wanted = f"{constant.address} = {constant.equals!r}"
        if isinstance(reply, DeviceError):
            raise reply
        if isinstance(reply, int):
            self._refuse(device, wanted, f"exception {reply}")
        reader.next(replies)
        batch = reader.finish(0)
        if not is_value(constant, batch.values[0]):
            self._refuse(device, wanted, repr(batch.values[0]))

    async def _compare_identification(self, device: _Checked) -> None:
        unit = device.options.unit
        known = None if device.accept else self._known.identification(unit)
        if known == {} and device.without_since == self._link.losses:
            # the port was never away, and the unit is not asked again
            device.verified = self._link.openings
            return
        try:
            found: Identification | None = await self._identification(device)
        except DeviceError as error:
            if error.status not in (STATUS["BadTimeout"], STATUS["BadCommunicationError"]):
                raise
            # silence does not say that it is the configured one again
            if device.dispute is not None:
                self._postpone_check(device)
                raise device.dispute from error
            device.silences += 1
            found = self._after_silence(device, known, error)
        else:
            device.silences = 0
        if found is None:
            return
        if known is not None and found != known:
            device.answered = found
            self._refuse(device, described(known), described(found))
        device.accept = False
        if not found:
            device.without_since = self._link.losses
        self._known.identify(unit, found)
        self._recognised(device)
        self._known.save()

    @staticmethod
    def _after_silence(
        device: _Checked, known: Identification | None, error: DeviceError
    ) -> Identification | None:
        """What silence about its identification says of a unit that answers reads; None while it
        says nothing yet."""
        if known is None:
            return {} if device.silences >= NEW_SILENCES else None
        if known and device.silences < KNOWN_SILENCES:
            raise DeviceError(error.status, error.cause)
        return {}

    async def _identification(self, device: _Checked) -> Identification:
        """What the device answers to function 43/14; empty when it refuses. Raises DeviceError when
        it is silent."""
        objects: dict[int, bytes] = {}
        first = 0
        for _ in range(_MOST_PARTS):
            request = IdentificationRequest(
                device.options.unit, first, frozenset(device.options.accept_unit)
            )
            (reply,) = await self._ask([request], device.plan.id)
            if isinstance(reply, DeviceError):
                raise reply
            if isinstance(reply, int):
                if reply in _REFUSALS:
                    break
                raise DeviceError(STATUS["BadCommunicationError"], exception_cause(reply, request))
            part, following = identification_objects(reply)
            objects |= part
            if following is None or following >= len(OBJECTS):
                break
            first = following
        return {
            name: _text(objects[number]) for number, name in enumerate(OBJECTS) if number in objects
        }

    def _recognised(self, device: _Checked) -> None:
        if device.dispute is not None:
            log.warning(
                "modbus-identity device=%s unit=%s state=recognised",
                device.plan.id,
                device.options.unit,
            )
        device.dispute = device.answered = None
        device.pause = FIRST_PAUSE
        device.silences = 0
        device.verified = self._link.openings

    def _refuse(self, device: _Checked, expected: str, answered: str) -> None:
        """Raises the DeviceError that says that this is another device."""
        before = device.dispute
        device.dispute = _another_device(self._endpoint, device, expected, answered)
        device.silences = 0
        self._postpone_check(device)
        if before is None or before.detail != device.dispute.detail:
            log.warning(
                "modbus-identity device=%s unit=%s state=another expected=%r answered=%r",
                device.plan.id, device.options.unit, expected, answered,
            )  # fmt: skip
        raise device.dispute

    @staticmethod
    def _postpone_check(device: _Checked) -> None:
        device.retry_at = asyncio.get_running_loop().time() + device.pause
        device.pause = min(LONGEST_PAUSE, 2 * device.pause)

    # --- the bus ----------------------------------------------------------------------------------

    def _unanswered(self, device: _Checked, error: DeviceError) -> None:
        if self._answering is not None and error.status == STATUS["BadTimeout"]:
            self._answering.failed(device.options.unit)

    async def _judged(self, batch: Batch, device: _Checked, answering: AnsweringUnits) -> Batch:
        """The batch, uncertain while the units that answer are not those of before."""
        answering.begin(self._link.losses)  # the read may have opened the port again
        answering.answered(device.options.unit)
        if answering.open:
            await self._call(answering)
        silent = answering.doubtful()
        if bool(silent) != self._doubted and not answering.open:
            self._doubted = bool(silent)
            state = (
                f"other-units-answer silent={','.join(map(str, silent))}"
                if silent
                else "all-answer"
            )
            log.warning("modbus-units port=%s state=%s", self._endpoint.path, state)
        self._known.save()
        if not silent or device.constants:
            return batch
        return _as_uncertain(batch, _other_units(self._endpoint, silent))

    async def _call(self, answering: AnsweringUnits) -> None:
        """Ask units that have not been heard since the port was opened for one thing that they have
        answered before, until it is clear whether they are still the same."""
        vain = 0
        for unit in answering.awaited():
            if not answering.open or vain == _VAIN_CALLS:
                return
            device = self._by_unit[unit]
            request = layout_of(device.plan.tables[0], device.options).requests[0]
            try:
                (reply,) = await self._ask([request], device.plan.id)
            except DeviceError as error:
                reply = error
            if not isinstance(reply, DeviceError):
                answering.answered(unit)
                continue
            vain += 1
            self._unanswered(device, reply)
            if reply.lost:
                return


def identity_check(
    plans: Sequence[DevicePlan], endpoint: ModbusEndpoint, link: Openings, read: Read, ask: Ask
) -> IdentityCheck | None:
    """The check of a connection; None, and no cost, where there is nothing to check."""
    if endpoint.unstable or any(device_options(plan.options).identify for plan in plans):
        return IdentityCheck(plans, endpoint, link, read, ask)
    return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").rstrip("\0 ")


def _another_device(
    endpoint: ModbusEndpoint, device: _Checked, expected: str, answered: str
) -> DeviceError:
    facts: dict[str, Any] = {
        "where": _place(endpoint),
        "unit": device.options.unit,
        "expected": expected,
        "expected_zh": _zh(expected),
        "answered": answered,
        "answered_zh": _zh(answered),
        "command": command("reload"),
    }
    if device.learns:
        return DeviceError.of("modbus_device_changed", **facts)
    return DeviceError.of("modbus_another_device", **facts)


def _other_units(endpoint: ModbusEndpoint, silent: Sequence[int]) -> Cause:
    units = [str(unit) for unit in silent]
    return cause(
        "modbus_other_units",
        path=endpoint.path,
        units=", ".join(units),
        units_zh="、".join(units),
        command=command("reload"),
    )


def _as_uncertain(batch: Batch, why: Cause) -> Batch:
    """The same batch; whatever is good in it is uncertain for this cause."""
    status = STATUS[status_of_cause(why.name)]
    known = batch.causes or {}
    doubted = [place for place in range(len(batch.values)) if place not in batch.status]
    batch.status.update(dict.fromkeys(doubted, status))
    batch.causes = {**known, **dict.fromkeys(doubted, why)}
    return batch


def _zh(text: str) -> str:
    """How it is put in Chinese, where it is a word of ours."""
    if text == NO_IDENTIFICATION[1]:
        return NO_IDENTIFICATION[0]
    return text.replace("exception ", "异常 ") if text.startswith("exception ") else text


def _place(endpoint: ModbusEndpoint) -> str:
    return endpoint.path if endpoint.serial else str(endpoint)
