"""The agent's own health: facts in, notices after NE 107 out. Pure.

Failure is kept for what loses data or has stopped: an unreachable broker is none, since the outbox
holds the values; it uses up a reserve, which is what NE 107 calls maintenance required.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.errors import Finding
from edge_agent.health.ne107 import Health, Notice
from edge_agent.words import command, number_of, verb

#: An outbox fuller than this share of its bound is a finding.
NEARLY_FULL: Final = 0.8
#: The disk normally answers within `fsync_ms`; so many seconds behind is a finding.
UNSYNCED_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What the agent knows of itself at one moment."""

    connected: bool = True
    broker: Finding | None = None
    """Why there is no connection to the broker."""
    refusal: Finding | None = None
    """What the broker does not take, and why; `where` is the topic."""
    broker_fault: Finding | None = None
    """What the broker does wrong in the protocol."""
    ingest_silent: bool = False
    freed_unseen: int = 0
    """Values that left a nearly full outbox at the broker's acknowledgement, as no ingest was ever
    seen."""
    lacking: bool = False
    """What the broker acknowledges does not reach the store."""
    outbox_bytes: int = 0
    outbox_limit: int = 1
    dropping: int = 0
    """Values dropped within the last minute."""
    dropped: int = 0
    """Values dropped since the start."""
    damaged: int = 0
    """Bytes set aside because they were not what had been written."""
    unsynced_s: float = 0.0
    """Seconds for which the disk has not made anything durable although something waited."""
    stalled: Sequence[str] = ()
    """Connections whose loop takes no step."""
    devices: int = 0
    offline: int = 0
    """Devices that cannot be reached; one that answers with bad values is not among them."""
    clock: Sequence[str] = ()
    """`clock_unset`, `clock_jump`."""
    jump_s: float = 0.0
    refused: str = ""
    """Why the last reload was refused, in English; beside it in Chinese."""
    refused_zh: str = ""
    restart: Sequence[str] = ()
    """Sections of the configuration that changed and wait for a restart."""
    listen: str = ""
    """Why the address for metrics cannot be used, in English; beside it in Chinese."""
    listen_zh: str = ""


def notices(facts: AgentFacts) -> Iterator[Notice]:
    """Everything that is not as it should be, in no order of weight."""
    yield from _delivery(facts)
    yield from _outbox(facts)
    yield from _loops(facts)
    yield from _clock(facts)
    yield from _configuration(facts)


def _delivery(facts: AgentFacts) -> Iterator[Notice]:
    if facts.broker is not None:
        # the connection stands again, so nothing queues; it is not to be trusted yet
        if facts.connected:
            zh = "与消息服务器的连接不稳定"
            en = "The connection to the broker is unstable"
        else:
            zh, en = (
                "连不上消息服务器，数据在本机排队",
                "The broker is away and values queue up here",
            )
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "broker_away",
            f"{zh}：{facts.broker.zh}",
            f"{en}: {facts.broker.en}",
        )
    elif not facts.connected:
        yield Notice(
            Health.CHECK_FUNCTION,
            "broker_connecting",
            "正在连接消息服务器。",
            "The connection to the broker is being made.",
        )
    if facts.refusal is not None:
        topic = facts.refusal.where
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "broker_refuses",
            f"消息服务器不接收某些消息，它们在本机保留并会重试：{topic}：{facts.refusal.zh}。"
            "请检查其权限与消息大小限制。",
            "The broker does not take some messages; they are kept here and tried again: "
            f"{topic}: {facts.refusal.en}."
            " Check its permissions and its limit of size.",
        )
    if facts.broker_fault is not None:
        fault = facts.broker_fault
        yield Notice(Health.MAINTENANCE_REQUIRED, "broker_faulty", fault.zh, fault.en)
    if facts.ingest_silent:
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "ingest_silent",
            f"一分钟以上没有入库服务的消息，数据在本机保留：请检查 {command('serve')}。",
            "No store service has been heard of for a minute; values are kept here: check "
            f"`{command('serve')}`.",
        )
    if facts.freed_unseen:
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "ingest_never_seen",
            f"从未收到过入库服务的消息，而发件箱已用到 80 %：{facts.freed_unseen} "
            "个值在消息服务器确认后即释放，"
            f"本机不再保留。请启动 {command('serve')}；没有自己的入库服务时写 mqtt.confirm: "
            "broker。",
            "No store service was ever heard of and the outbox is 80 % full:"
            f" {number_of(facts.freed_unseen, 'value')} left it at the broker's acknowledgement."
            f" Start `{command('serve')}`; without a store service of your own write "
            "mqtt.confirm: broker.",
        )
    if facts.lacking:
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "not_stored",
            "消息服务器确认了消息，入库服务却一再没有收到，数据在本机保留并重发："
            "请检查消息服务器的权限"
            "（MQTT 3.1.1 常不报告）和 mqtt.topic_prefix。",
            "The broker acknowledges messages that the store service never gets; they are kept "
            "here and sent again:"
            " check the broker's access list (MQTT 3.1.1 brokers often do not tell) and "
            "mqtt.topic_prefix.",
        )


def _outbox(facts: AgentFacts) -> Iterator[Notice]:
    if facts.dropping:
        yield Notice(
            Health.FAILURE,
            "outbox_dropping",
            f"发件箱已满，最近一分钟丢弃了 {facts.dropping} 个最旧的值：请恢复消息服务器或加大 "
            "outbox.max_bytes。",
            f"The outbox is full and dropped its {facts.dropping} oldest values within a minute: "
            "bring the broker back"
            " or raise outbox.max_bytes.",
        )
    elif facts.dropped:
        yield Notice(
            Health.OFF_SPEC,
            "outbox_dropped",
            f"启动以来丢弃过 {facts.dropped} 个值，缺口见 {command('status')}。",
            f"{number_of(facts.dropped, 'value')} {verb(facts.dropped, 'was', 'were')} dropped "
            "since the start;"
            f" `{command('status')}` lists the gaps.",
        )
    if facts.outbox_bytes > NEARLY_FULL * facts.outbox_limit:
        share = 100 * facts.outbox_bytes / facts.outbox_limit
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "outbox_nearly_full",
            f"发件箱已用 {share:.0f} %：满了以后最旧的值会被丢弃。",
            f"The outbox is {share:.0f} % full; when it is full, the oldest values are dropped.",
        )
    if facts.damaged:
        yield Notice(
            Health.OFF_SPEC,
            "outbox_damaged",
            f"发件箱中有 {facts.damaged} 字节损坏，已隔离，不会发送："
            f"请检查磁盘（{command('outbox', 'verify')}）。",
            f"{number_of(facts.damaged, 'byte')} of the outbox "
            f"{verb(facts.damaged, 'was', 'were')} damaged, set aside"
            f" and never sent: check the disk (`{command('outbox', 'verify')}`).",
        )
    if facts.unsynced_s > UNSYNCED_S:
        yield Notice(
            Health.FAILURE,
            "disk",
            f"磁盘已 {facts.unsynced_s:.0f} 秒没有完成写入，此时断电会丢失这段数据："
            "请检查磁盘空间和状态。",
            f"The disk has completed no write for {facts.unsynced_s:.0f} s; a power cut now "
            "would lose that much:"
            " check its space and its health.",
        )


def _loops(facts: AgentFacts) -> Iterator[Notice]:
    if facts.stalled:
        names = ", ".join(facts.stalled)
        yield Notice(
            Health.FAILURE,
            "loop_stalled",
            f"采集循环停住了：{names}。看门狗会重启本服务。",
            f"Polling loops take no step: {names}. The watchdog will restart the service.",
        )
    if facts.devices and facts.offline == facts.devices:
        yield Notice(
            Health.OFF_SPEC,
            "all_devices_offline",
            f"{facts.devices} 台设备全部离线：请检查车间网络或电源。",
            f"{verb(facts.devices, 'The only device is', f'All {facts.devices} devices are')} "
            "offline: check the shop"
            " floor's network or power.",
        )


def _clock(facts: AgentFacts) -> Iterator[Notice]:
    if "clock_unset" in facts.clock:
        yield Notice(
            Health.OFF_SPEC,
            "clock_unset",
            "本机时钟未校准，读取时间不可信：请配置 NTP。",
            "This machine's clock was never set; the times of readings are not to be trusted: "
            "set up NTP.",
        )
    if "clock_jump" in facts.clock:
        yield Notice(
            Health.OFF_SPEC,
            "clock_jump",
            f"本机时钟在一小时内被拨动了 {facts.jump_s:+.1f} 秒，这段数据的读取时间不连续。",
            f"This machine's clock was set by {facts.jump_s:+.1f} s within the last hour; the "
            "times of readings jump.",
        )


def _configuration(facts: AgentFacts) -> Iterator[Notice]:
    if facts.refused:
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "reload_refused",
            f"新配置有误，仍在使用旧配置：{facts.refused_zh}",
            f"The changed configuration was refused and the old one is in use: {facts.refused}",
        )
    if facts.restart:
        names = ", ".join(facts.restart)
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "restart_needed",
            f"以下配置的改动要重启后才生效：{names}。",
            f"Changes of these sections take effect after a restart: {names}.",
        )
    if facts.listen:
        yield Notice(
            Health.MAINTENANCE_REQUIRED,
            "listen_failed",
            f"指标端口无法使用（{facts.listen_zh}）：请检查 agent.listen。",
            f"The address for metrics cannot be used ({facts.listen}): check agent.listen.",
        )
