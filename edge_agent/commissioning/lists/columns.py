"""The columns of a point list: what they are called here, and what others call them.

The other names are those of published layouts: the CSV export of Kepware's servers, the tag
template of Neuron, and the parameter tables that Chinese makers of gateways and meters print in
their manuals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.register.columns import fold

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class ListColumn:
    """One column: its name, its heads in Chinese and English, and other heads that mean the
    same."""

    name: str
    zh: str
    en: str
    also: tuple[str, ...] = ()
    written: bool = True
    """Whether our own lists have it; the others are read only."""

    def forms(self) -> frozenset[str]:
        """Every head that means this column, folded."""
        return frozenset(
            map(fold, (self.name, self.zh, self.en, f"{self.zh}{self.en}", *self.also))
        )


COLUMNS: Final[tuple[ListColumn, ...]] = (
    ListColumn(
        "device",
        "设备",
        "device",
        ("设备编号", "设备名称", "设备id", "所属设备", "node", "device id"),
    ),
    ListColumn(
        "tag",
        "变量名",
        "tag",
        (
            "变量",
            "变量名称",
            "点名",
            "点位",
            "点位名称",
            "测点",
            "测点名称",
            "标签",
            "标签名",
            "参数名称",
            "参数名",
            "名称",
            "信号名称",
            "Tag Name",
            "name",
            "variable",
            "point",
            "signal",
        ),
    ),
    ListColumn(
        "description",
        "说明",
        "description",
        ("描述", "备注", "注释", "中文名称", "含义", "comment", "remark"),
    ),
    ListColumn(
        "address",
        "地址",
        "address",
        (
            "寄存器地址",
            "变量地址",
            "点位地址",
            "Modbus地址",
            "PLC地址",
            "起始地址",
            "寄存器",
            "偏移地址",
            "寄存器号",
            "寄存器编号",
            "Modbus寄存器地址",
            "寄存器地址(十进制)",
            "地址(十进制)",
            "节点",
            "节点ID",
            "NodeId",
            "register",
            "register address",
            "modbus address",
            "Node Id",
            "path",
        ),
    ),
    ListColumn(
        "area",
        "寄存器类型",
        "area",
        (
            "功能码",
            "读功能码",
            "存储区",
            "区域",
            "地址类型",
            "寄存器区",
            "function",
            "function code",
            "fc",
            "register type",
            "object",
            "memory area",
            "table",
        ),
        written=False,
    ),
    ListColumn(
        "hex_address",
        "十六进制地址",
        "hex address",
        ("地址(十六进制)", "地址(HEX)", "address (hex)"),
        written=False,
    ),
    ListColumn("bit", "位", "bit", ("位号", "位偏移", "bit offset")),
    ListColumn(
        "type",
        "类型",
        "type",
        ("数据类型", "变量类型", "数据格式", "Data Type", "datatype", "data_type", "format"),
    ),
    ListColumn(
        "length",
        "长度",
        "length",
        ("字节数", "字符长度", "字符串长度", "数据长度", "bytes", "string length"),
    ),
    ListColumn("count", "数量", "count", ("个数", "array size")),
    ListColumn(
        "word_order",
        "字节序",
        "word_order",
        ("字序", "字节顺序", "大小端", "byte order", "endian", "byte_order", "endianness"),
    ),
    ListColumn(
        "scale",
        "比例",
        "scale",
        (
            "系数",
            "倍率",
            "乘数",
            "缩放",
            "比例系数",
            "倍数",
            "单位系数",
            "ratio",
            "multiplier",
            "factor",
            "decimal",
            "gain",
        ),
    ),
    ListColumn("offset", "偏移", "offset", ("偏移量", "偏置", "基值", "bias")),
    ListColumn(
        "decimals",
        "小数位",
        "decimals",
        ("小数点", "小数位数", "小数点位数", "decimal places"),
        written=False,
    ),
    ListColumn(
        "unit",
        "单位",
        "unit",
        ("工程单位", "计量单位", "Eng Units", "Eng. Units", "units", "engineering unit"),
    ),
    ListColumn(
        "low", "下限", "low", ("量程下限", "最小值", "范围下限", "range low", "min", "minimum")
    ),
    ListColumn(
        "high", "上限", "high", ("量程上限", "最大值", "范围上限", "range high", "max", "maximum")
    ),
    ListColumn("range", "量程", "range", ("范围", "取值范围", "数据范围"), written=False),
    ListColumn(
        "map",
        "枚举",
        "map",
        ("枚举值", "状态说明", "状态定义", "值含义", "值说明", "enum", "enumeration", "labels"),
    ),
    ListColumn("deadband", "死区", "deadband", ("变化死区",)),
    ListColumn(
        "every",
        "周期",
        "every",
        (
            "采集周期",
            "扫描周期",
            "轮询周期",
            "采集间隔",
            "period",
            "周期(s)",
            "采集周期(s)",
            "周期(秒)",
            "采集周期(秒)",
        ),
    ),
    ListColumn(
        "every_ms",
        "周期(ms)",
        "every (ms)",
        (
            "采集周期(ms)",
            "扫描周期(ms)",
            "采集间隔(ms)",
            "Scan Rate",
            "interval",
            "scan rate (ms)",
            "interval (ms)",
        ),
        written=False,
    ),
    ListColumn("report", "上报", "report", ("上报方式",)),
    ListColumn("business_link", "业务对象", "business_link", ("业务环节",)),
    ListColumn("more", "其他", "more", ("其它",)),
    ListColumn(
        "access",
        "读写",
        "access",
        ("读写权限", "读写属性", "读写类型", "权限", "Client Access", "attribute", "r/w", "rw"),
        written=False,
    ),
    ListColumn("group", "组", "group", ("分组", "组名", "group name"), written=False),
    ListColumn("scaling", "换算", "Scaling", (), written=False),
    ListColumn("raw_low", "原始下限", "Raw Low", (), written=False),
    ListColumn("raw_high", "原始上限", "Raw High", (), written=False),
    ListColumn("scaled_low", "工程下限", "Scaled Low", (), written=False),
    ListColumn("scaled_high", "工程上限", "Scaled High", (), written=False),
    ListColumn("negate", "取反", "Negate Value", (), written=False),
)
BY_NAME: Final[Mapping[str, ListColumn]] = {column.name: column for column in COLUMNS}

#: Heads of the layouts above that say nothing about how a value is read.
IGNORED: Final = frozenset(
    map(
        fold,
        (
            "序号",
            "编号",
            "No",
            "No.",
            "#",
            "Respect Data Type",
            "Scaled Data Type",
            "Clamp Low",
            "Clamp High",
            "precision",
            "精度",
            "上报模式",
            "等于值",
            "上报周期",
            "是否报警",
            "value",
        ),
    )
)

_FORMS: Final[Mapping[str, str]] = {
    form: column.name for column in COLUMNS for form in column.forms()
}


#: What a head says beside its meaning.
_BESIDE: Final = re.compile("必填|选填|可选|可空|required|optional|mandatory")
#: Heads of a tag's name that are as often those of what it is for people.
_FOR_PEOPLE: Final = frozenset(
    map(fold, ("名称", "参数名称", "信号名称", "点位名称", "测点名称", "变量名称"))
)


def column_of(head: str) -> str | None:
    """The name of the column a head means."""
    folded = fold(head)
    return _FORMS.get(folded) or _FORMS.get(_BESIDE.sub("", folded))


def is_for_people(head: str) -> bool:
    """Whether a head of the tag's name may as well mean its description, where the list has
    both."""
    return fold(head) in _FOR_PEOPLE


def head(name: str, language: Language) -> str:
    """The head of a column in our own lists."""
    column = BY_NAME[name]
    return column.zh if language == "zh" else column.en


def written() -> Iterable[ListColumn]:
    """The columns of our own lists, in their order."""
    return (column for column in COLUMNS if column.written)
