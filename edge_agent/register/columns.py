"""The columns of the register as data: names in both languages, what a cell holds, and the words it
may hold.

Source of the columns: the equipment register (设备台账) as the smart-manufacturing survey of
Dongguan asks for it, with the additions an on-site inspection needs (serial number, photo of the
communication module, invoice, reviewer).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from edge_agent.register.kinds import published

CellKind = Literal["id", "ids", "text", "word", "flag", "decimal", "positive", "date"]


@lru_cache(maxsize=4096)  # the cells of a column have few words
def fold(text: str) -> str:
    """The comparable form of a header or a word: NFKC, lower case, without spaces and joining
    signs."""
    return re.sub(r"[\s_\-./*:()\[\]]+", "", unicodedata.normalize("NFKC", text).lower())


@dataclass(frozen=True, slots=True)
class RegisterColumn:
    """One column: its name in code, its Chinese header, other headers in use, and what its cells
    hold."""

    name: str
    zh: str
    kind: CellKind = "text"
    also: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Canonical word -> other spellings; the first is the Chinese one used in exports."""
    required: bool = False
    """A count rests on it: a missing or unreadable cell is an error. Elsewhere it is listed and
    left empty."""
    several: bool = False
    """A cell may name several, joined by `;`."""

    def header_forms(self) -> frozenset[str]:
        """Every header that means this column, folded."""
        return frozenset(map(fold, (self.name, self.zh, self.zh + self.name, *self.also)))

    def word_forms(self) -> dict[str, str]:
        """Folded spelling -> canonical word."""
        return {fold(form): word for word, forms in self.words.items() for form in (word, *forms)}


YES: Final = frozenset({"y", "yes", "是", "√", "✓", "✔", "true", "1", "t", "有"})
NO: Final = frozenset({"n", "no", "否", "×", "✗", "✘", "x", "false", "0", "f", "无", "没有"})

CATEGORY: Final[Mapping[str, tuple[str, ...]]] = {
    "machining": ("机加工", "加工", "金属加工"),
    "polishing": ("打磨", "抛光", "打磨抛光"),
    "handling": ("搬运", "上下料"),
    "inspection": ("检测", "检验", "测量"),
    "cleaning": ("清洗",),
    "logistics": ("物流", "仓储"),
    "utility": ("公用设备", "公用", "辅助", "动力"),
    "meter": ("计量仪表", "仪表", "电表", "计量"),
}
STATUS: Final[Mapping[str, tuple[str, ...]]] = {
    "in_use": ("在用", "使用", "使用中", "正常"),
    "mothballed": ("封存", "停用", "闲置"),
    "scrapped": ("报废", "已报废"),
    "under_repair": ("维修", "在修", "维修中", "大修"),
}
OWNERSHIP: Final[Mapping[str, tuple[str, ...]]] = {
    "owned": ("自有", "自购"),
    "leased": ("融资租赁", "租赁", "租用"),
}
CONTROL: Final[Mapping[str, tuple[str, ...]]] = {
    "cnc": ("数控", "数控系统", "nc"),
    "robot": ("机器人", "工业机器人"),
    "plc": ("可编程控制器", "可编程"),
    "dcs": ("集散控制",),
    "pcs": ("过程控制",),
    "manual": ("手动", "人工", "普通", "手工"),
    "none": ("无",),
}
INTERFACE: Final[Mapping[str, tuple[str, ...]]] = {
    "opc_ua": ("OPC UA",),
    "modbus_tcp": ("Modbus TCP",),
    "modbus_rtu": ("Modbus RTU", "RS485", "RS-485"),
    "mtconnect": ("MTConnect",),
    "focas": ("FOCAS",),
    "none": ("无", "没有"),
}
ORIGIN: Final[Mapping[str, tuple[str, ...]]] = {
    "imported": ("进口",),
    "domestic": ("国产",),
    "local": ("莞产", "本地", "东莞"),
}
INDUSTRY: Final[Mapping[str, tuple[str, ...]]] = {
    "discrete": ("离散", "离散型"),
    "process": ("流程", "流程型"),
}

EQUIPMENT: Final[tuple[RegisterColumn, ...]] = (
    RegisterColumn("equipment_id", "设备编号", "id", ("设备代码", "设备ID"), required=True),
    RegisterColumn("asset_no", "固定资产编号", "id", ("资产编号", "固定资产号")),
    RegisterColumn("name_zh", "设备名称", also=("中文名称", "名称")),
    RegisterColumn("name_en", "英文名称"),
    RegisterColumn("category", "类别", "word", ("设备类别", "分类"), CATEGORY),
    RegisterColumn("in_scope", "纳入统计", "flag", ("是否纳入统计", "统计范围"), required=True),
    RegisterColumn("status", "状态", "word", ("设备状态", "使用状态"), STATUS, required=True),
    RegisterColumn("ownership", "权属", "word", ("产权", "所有权"), OWNERSHIP),
    RegisterColumn("workshop", "车间", also=("所在车间",)),
    RegisterColumn("line", "产线", "id", ("生产线",)),
    RegisterColumn("process_id", "工序编号", "id", ("工序", "所属工序"), several=True),
    RegisterColumn(
        "control_class",
        "数控类型",
        "word",
        ("数控", "控制方式", "控制类型"),
        CONTROL,
        required=True,
    ),
    RegisterColumn("controller_brand", "数控系统品牌", also=("控制器品牌",)),
    RegisterColumn("controller_model", "数控系统型号", also=("控制器型号",)),
    RegisterColumn("digital", "数字化", "flag", ("是否数字化", "数字化设备"), required=True),
    RegisterColumn(
        "interface", "通信接口", "word", ("接口", "通讯接口", "接口协议"), INTERFACE, required=True
    ),
    RegisterColumn(
        "networked_declared", "联网(申报)", "flag", ("联网", "是否联网", "申报联网"), required=True
    ),
    RegisterColumn(
        "gateway_device", "采集设备", "ids", ("网关设备", "采集点", "网关设备ID"), several=True
    ),
    RegisterColumn("is_robot", "是否机器人", "flag", ("机器人",), required=True),
    RegisterColumn("robot_type", "机器人类型"),
    RegisterColumn(
        "machine_kind", "设备种类", "word", ("机器种类", "设备机种"), published().words()
    ),
    RegisterColumn("brand_origin", "品牌产地", "word", ("产地", "国产进口"), ORIGIN),
    RegisterColumn("commissioned", "启用日期", "date", ("投用日期", "投产日期")),
    RegisterColumn(
        "retired_on", "停用日期", "date", ("退役日期", "报废日期", "封存日期", "处置日期")
    ),
    RegisterColumn(
        "purchase_cny", "购置金额(元)", "decimal", ("购置金额", "原值", "设备原值", "金额")
    ),
    RegisterColumn("rated_power_kw", "额定功率(kW)", "decimal", ("额定功率", "功率")),
    RegisterColumn("meter_id", "电表编号", "id", ("电表", "计量表")),
    RegisterColumn("project_id", "项目编号", "id", ("项目", "技改项目")),
    RegisterColumn("serial_no", "出厂编号", "id", ("序列号",)),
    RegisterColumn("photo_ref", "通讯模块照片", also=("照片",)),
    RegisterColumn("invoice_ref", "发票号", also=("发票",)),
    RegisterColumn("contract_ref", "合同号", also=("合同",)),
    RegisterColumn("nominal_cycle_s", "标准节拍(s)", "positive", ("标准节拍", "节拍")),
    RegisterColumn("schedule_id", "班次日历", "id", ("日历", "班制")),
    RegisterColumn("reviewer", "审核人"),
    RegisterColumn("reviewed_on", "审核日期", "date"),
    RegisterColumn("remark", "备注", also=("说明",)),
)

PROCESSES: Final[tuple[RegisterColumn, ...]] = (
    RegisterColumn("process_id", "工序编号", "id", ("编号", "工序代码"), required=True),
    RegisterColumn("name_zh", "工序名称", also=("名称", "工序")),
    RegisterColumn("name_en", "英文名称"),
    RegisterColumn("is_key", "关键工序", "flag", ("是否关键工序", "关键"), required=True),
    RegisterColumn(
        "industry_type", "行业类型", "word", ("类型", "离散流程"), INDUSTRY, required=True
    ),
    RegisterColumn("reviewer", "审核人"),
    RegisterColumn("reviewed_on", "审核日期", "date"),
    RegisterColumn("remark", "备注", also=("说明",)),
)
