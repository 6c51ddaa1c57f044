"""The shape of an instruction set: rows, operand kinds, decoder, disassembler, assembler.

For:     everything that follows from a table of rows alone.
Not for: any particular guest. The rows, names and meanings of one come from its room under cpu/.
"""

from .assembler import AssemblyError, Listed, Program, assemble
from .decoder import Decoded, InstructionSet, Line
from .operands import Displacement, Kind, Names, Number, Paged, Relative, Scaled, relative8
from .row import Field, Row

__all__ = [
    "AssemblyError", "Decoded", "Displacement", "Field", "InstructionSet", "Kind", "Line", "Listed", "Names", "Number",
    "Paged", "Program", "Relative", "Row", "Scaled", "assemble", "relative8",
]  # fmt: skip
