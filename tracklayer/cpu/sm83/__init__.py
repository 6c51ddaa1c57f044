"""The SM83, the processor of the Game Boy and Game Boy Color: state, rows and meanings, bare of any machine.

state.py       registers; the bus that a machine offers
operands.py    what operand fields name
alu.py load.py jump.py control.py: the meanings
rows.py        the instruction set
execute.py     one opcode, run
timing.py      worst cases, measured from the meanings
"""

from .control import between, dispatch
from .execute import FORMS, FORMS_CB, Form, execute, execute_cb, fetch_opcode, step
from .operands import next_byte
from .rows import SM83
from .state import Bus, Cpu, pack_f, unpack_f
from .timing import best_cycles, worst_cycles

__all__ = [
    "FORMS", "FORMS_CB", "SM83", "Bus", "Cpu", "Form", "best_cycles", "between", "dispatch", "execute", "execute_cb",
    "fetch_opcode", "next_byte", "pack_f", "step", "unpack_f", "worst_cycles",
]  # fmt: skip
