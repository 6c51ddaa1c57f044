"""Code memory: never writable and executable, reusable, its own after a fork, clear when it is denied."""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import subprocess
import sys
import textwrap

import pytest

from tracklayer.native.memory import Block, CodeMemory, CodeMemoryFull, code_memory

RETURN_42 = b"\xb8\x2a\x00\x00\x00\xc3"  # mov eax, 42; ret
X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")


def call(block: Block) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(block.address)())


def writable_and_executable() -> set[str]:
    """Mappings that are both. ctypes callbacks make one (libffi), so a test asks for what came on top."""
    with open("/proc/self/maps") as file:
        return {line for line in file if "wx" in line.split()[1]}


@pytest.fixture(params=["dual", "flip"])
def memory(request: pytest.FixtureRequest) -> CodeMemory:
    return CodeMemory(8 << 20, mode=request.param)


def test_written_code_runs_and_can_be_written_again(memory: CodeMemory) -> None:
    block = memory.allocate(16)
    block.write(0, RETURN_42)
    assert call(block) == 42
    block.write(1, b"\x07")
    assert call(block) == 7
    assert block.read(0, 6) == b"\xb8\x07\x00\x00\x00\xc3"


def test_no_mapping_is_ever_writable_and_executable(memory: CodeMemory) -> None:
    before = writable_and_executable()
    block = memory.allocate(16)
    block.write(0, RETURN_42)
    assert call(block) == 42
    assert writable_and_executable() <= before
    with memory.writing(block.address, 16):
        assert writable_and_executable() <= before


def test_typed_code_writes_through_the_writable_alias() -> None:
    memory = CodeMemory(8 << 20, mode="dual")
    block = memory.allocate(1 << 20, 4096)
    assert block.writable == block.address + memory.writable_delta
    ctypes.memmove(block.writable + 4096, RETURN_42, 6)
    assert ctypes.CFUNCTYPE(ctypes.c_int)(block.address + 4096)() == 42


def test_blocks_are_aligned_disjoint_and_all_comes_back(memory: CodeMemory) -> None:
    chooser = random.Random(1)
    blocks: list[Block] = []
    for _ in range(400):
        if blocks and chooser.random() < 0.4:
            blocks.pop(chooser.randrange(len(blocks))).free()
        else:
            align = 1 << chooser.randrange(4, 10)
            block = memory.allocate(chooser.randrange(1, 3000), align)
            assert block.address % align == 0
            blocks.append(block)
    ranges = sorted((block.address, block.address + block.size) for block in blocks)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))
    assert all(memory.address <= a and b <= memory.address + memory.size for a, b in ranges)
    blocks.clear()
    del block
    assert memory.largest_hole() == memory.size
    assert memory.used == 0


def test_a_dropped_block_is_reused_and_its_old_code_is_gone(memory: CodeMemory) -> None:
    block = memory.allocate(16)
    block.write(0, RETURN_42)
    address = block.address
    block.free()
    block.free()
    assert ctypes.string_at(address, 4) == b"\xcc" * 4
    with pytest.raises(ValueError, match="freed"):
        block.write(0, RETURN_42)
    assert memory.allocate(16).address == address


def test_a_large_block_gives_its_pages_back() -> None:
    memory = CodeMemory(64 << 20, mode="dual")
    block = memory.allocate(32 << 20)
    block.write(0, b"\x90" * (32 << 20))
    pages = os.fstat(memory._backing._fd).st_blocks  # type: ignore[attr-defined]
    assert pages * 512 >= 32 << 20
    block.free()
    assert os.fstat(memory._backing._fd).st_blocks * 512 <= 1 << 20  # type: ignore[attr-defined]


def test_full_memory_says_so(memory: CodeMemory) -> None:
    with pytest.raises(CodeMemoryFull, match="are used"):
        memory.allocate(memory.size + 1)
    with pytest.raises(ValueError, match="aligned to 3"):
        memory.allocate(10, 3)
    with pytest.raises(ValueError, match="do not fit"):
        memory.allocate(16).write(memory.allocate(16).size, b"x")


def test_low_memory_is_reached_by_absolute_32_bit_addresses() -> None:
    memory = CodeMemory(8 << 20, low=True)
    assert memory.address + memory.size <= 1 << 31


def test_the_common_memory_is_one() -> None:
    assert code_memory() is code_memory()


def test_a_forked_child_has_code_of_its_own(memory: CodeMemory) -> None:
    before = writable_and_executable()
    block = memory.allocate(16)
    block.write(0, RETURN_42)
    far = memory.allocate(1 << 20)
    far.write((1 << 20) - 16, RETURN_42)
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert call(block) == 42
            block.write(1, b"\x07")
            assert call(block) == 7
            os.write(ready[1], b"1")
            os.read(go[0], 1)
            assert call(block) == 7, "the parent wrote into the child's code"
            assert ctypes.CFUNCTYPE(ctypes.c_int)(far.address + (1 << 20) - 16)() == 42
            mine = memory.allocate(16)
            mine.write(0, RETURN_42)
            assert call(mine) == 42
            assert writable_and_executable() <= before
            code = 0
        finally:
            os._exit(code)
    os.read(ready[0], 1)
    assert call(block) == 42, "the child wrote into the parent's code"
    block.write(1, b"\x08")
    os.write(go[1], b"1")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert call(block) == 8
    for pipe in (ready, go):
        os.close(pipe[0])
        os.close(pipe[1])


def test_what_other_threads_write_while_a_fork_copies_is_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is made, then a block is written, then the process forks: as when another thread runs in between."""
    memory = CodeMemory(8 << 20, mode="dual")
    block = memory.allocate(16)
    block.write(0, RETURN_42)
    copied = memory._backing.before_fork

    def copy_then_write() -> None:
        copied()
        block.write(1, b"\x07")

    monkeypatch.setattr(memory._backing, "before_fork", copy_then_write)
    child = os.fork()
    if child == 0:
        os._exit(call(block))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert call(block) == 7


def test_a_grandchild_has_code_of_its_own_too() -> None:
    memory = CodeMemory(8 << 20, mode="dual")
    block = memory.allocate(16)
    block.write(0, RETURN_42)
    child = os.fork()
    if child == 0:
        block.write(1, b"\x07")
        grandchild = os.fork()
        if grandchild == 0:
            block.write(1, b"\x09")
            os._exit(0 if call(block) == 9 else 1)
        good = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0 and call(block) == 7
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert call(block) == 42


def test_forks_leave_no_open_files() -> None:
    memory = CodeMemory(8 << 20, mode="dual")
    memory.allocate(16).write(0, RETURN_42)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    assert len(os.listdir("/proc/self/fd")) == before


def run_denied(body: str) -> str:
    """Run `body` in a fresh interpreter that has `deny(*system_calls)`, a seccomp filter answering EPERM."""
    script = textwrap.dedent(
        """
        import ctypes, struct
        NUMBERS = {"mmap": 9, "mprotect": 10}
        def deny(*names):
            # Linux, <linux/filter.h>, <linux/seccomp.h>: load the number, compare, answer.
            code = [(0x20, 0, 0, 0)]
            for name in names:
                if name == "memfd_create":
                    code += [(0x15, 0, 1, 319), (0x06, 0, 0, 0x50001)]
                else:   # only with PROT_EXEC in the third argument
                    code += [(0x15, 0, 4, NUMBERS[name]), (0x20, 0, 0, 32), (0x45, 0, 1, 4)]
                    code += [(0x06, 0, 0, 0x50001), (0x20, 0, 0, 0)]
            code += [(0x06, 0, 0, 0x7fff0000)]
            program = b"".join(struct.pack("<HBBI", *c) for c in code)
            buffer = ctypes.create_string_buffer(program, len(program))
            filt = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(buffer)), 16)
            prctl = ctypes.CDLL(None, use_errno=True).prctl
            assert prctl(38, 1, 0, 0, 0) == 0
            assert prctl(22, 2, filt, 0, 0) == 0, ctypes.get_errno()
        from tracklayer.native.memory import *
        from tracklayer.native import memory
        """
    ) + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_memfd_a_file_in_memory_serves() -> None:
    out = run_denied("""
        deny("memfd_create")
        m = CodeMemory(8 << 20)
        b = m.allocate(16); b.write(0, bytes.fromhex("b82a000000c3"))
        print(m.mode, ctypes.CFUNCTYPE(ctypes.c_int)(b.address)())
    """)
    assert out.split() == ["dual", "42"]


def test_denied_memory_names_the_setting() -> None:
    out = run_denied("""
        deny("memfd_create", "mmap", "mprotect")
        try:
            CodeMemory(8 << 20)
        except ExecutableMemoryDenied as error:
            print(error)
    """)
    assert "seccomp filter is active" in out
    assert "dual" in out and "flip" in out and "errno 1" in out


def test_dual_mapping_serves_where_pages_may_not_become_executable() -> None:
    """PR_SET_MDWE (Linux 6.3): what systemd's MemoryDenyWriteExecute= sets."""
    out = run_denied("""
        from tracklayer.native import Assembler
        from tracklayer.native.operands import rax, rdi
        if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
            print("unknown")
            raise SystemExit
        m = CodeMemory(8 << 20)
        a = Assembler(); a.mov(rax, rdi); a.ret()
        print(m.mode, a.function("i64(x: i64)")(42))
        try:
            CodeMemory(8 << 20, mode="flip")
        except ExecutableMemoryDenied as error:
            assert "PR_SET_MDWE" in str(error), error
        else:
            raise SystemExit("flips should be denied")
    """)
    if out.split() == ["unknown"]:
        pytest.skip("this kernel knows no PR_SET_MDWE")
    assert out.split() == ["dual", "42"]


def test_a_function_where_executable_memory_is_forbidden_is_that_error() -> None:
    """Whoever only assembles can; who wants to run it is told why not, each time."""
    out = run_denied("""
        from tracklayer.native import Assembler
        from tracklayer.native.operands import rax, rdi
        deny("memfd_create", "mmap", "mprotect")
        a = Assembler(); a.mov(rax, rdi); a.ret()
        print(a.assemble().data.hex())
        for _ in range(2):
            try:
                a.function("i64(x: i64)")
            except ExecutableMemoryDenied as error:
                print("denied:", "seccomp" in str(error))
    """)
    assert out.splitlines() == ["4889f8c3", "denied: True", "denied: True"]


def test_a_limit_on_address_space_gets_a_smaller_memory() -> None:
    out = run_denied("""
        import resource
        used = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + (96 << 20), -1))
        print(CodeMemory(256 << 20).size >> 20)
    """)
    assert 4 <= int(out) < 128
