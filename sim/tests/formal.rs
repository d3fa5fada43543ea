//! The small control blocks, proved: bounded model checking and induction with yosys-smtbmc.
//!
//! Every set of properties (`sim/formal`) must hold for ever, be reachable where it says so, and fail on the block with one
//! defect put in: a set that cannot fail proves nothing.

use glovebox_hdl::bootstrap::WordFifo;
use glovebox_hdl::bootstrap::fifo::{RESERVE, WORDS};
use glovebox_hdl::card::arbiter::RoundRobin;
use glovebox_hdl::card::axi_lite::AxiLiteSlave;
use glovebox_hdl::card::counter::Counter;
use glovebox_hdl::card::fifo::Fifo;
use glovebox_hdl::card::read_dma::{self, ReadDma};
use glovebox_hdl::card::resize::Resize;
use glovebox_hdl::card::ring::RingRegisters;
use glovebox_hdl::ntt::feedback::FeedbackSums;
use glovebox_hdl::ntt::{NttStream, Plan, Transform};
use glovebox_hdl::prelude::*;
use glovebox_hdl::verilog::generate;
use glovebox_regmap::registers;
use glovebox_sim::formal::{Answer, Problem, Question};

/// A set of properties of one block.
struct Set<'a> {
    verilog: String,
    properties: &'a str,
    defines: Vec<(&'a str, String)>,
    cut: &'a [&'a str],
    /// Cycles of the base case and of the induction.
    induction: usize,
    /// Cycles within which every cover statement is reached.
    cover: usize,
    /// Defects: a text of the block and what replaces it.
    defects: &'a [(&'a str, &'a str)],
}

/// Cycles within which every defect shows.
const DEFECT_CYCLES: usize = 24;

const TOP: &str = "block";

fn verilog<B: Block>(build: impl FnOnce() -> B + Send + 'static) -> String {
    generate(TOP, "Under proof.", build).unwrap()
}

fn prove(set: &Set) {
    let checker_of = |verilog: &str| {
        let problem = Problem { top: TOP, verilog, properties: set.properties, defines: &set.defines, cut: set.cut };
        problem.checker().unwrap()
    };
    let checker = checker_of(&set.verilog);
    for question in
        [Question::Bounded(set.induction + 2), Question::Induction(set.induction), Question::Cover(set.cover)]
    {
        match checker.ask(question).unwrap() {
            Answer::Holds => {}
            Answer::Fails(output) => panic!("{question:?}:\n{output}"),
        }
    }
    for (sound, broken) in set.defects {
        assert_eq!(set.verilog.matches(sound).count(), 1, "`{sound}` is not there once:\n{}", set.verilog);
        let defective = checker_of(&set.verilog.replacen(sound, broken, 1));
        let answer = defective.ask(Question::Bounded(DEFECT_CYCLES)).unwrap();
        assert!(matches!(answer, Answer::Fails(_)), "`{broken}` in place of `{sound}` is not seen");
    }
}

fn prove_fifo(depth: usize) {
    let bits = depth.trailing_zeros();
    prove(&Set {
        verilog: verilog(move || Fifo::<U<4>>::new(depth)),
        properties: include_str!("../formal/fifo.sv"),
        defines: vec![("DEPTH", depth.to_string()), ("BITS", bits.to_string()), ("WIDTH", "4".to_string())],
        cut: &[],
        induction: 3,
        cover: depth + 4,
        defects: &[
            ("(head != tail) & (~valid | ready)", "(~valid | ready)"),
            ("(head != tail) & (~valid | ready)", "(head != tail)"),
            ("load | (valid & ~ready)", "load"),
            ("q <= words[tail", "q <= words[head"),
        ],
    });
}

#[test]
fn fifo_of_4_words_keeps_order_and_count() {
    prove_fifo(4);
}

#[test]
fn fifo_of_16_words_keeps_order_and_count() {
    prove_fifo(16);
}

#[test]
fn word_fifo_keeps_room_order_and_count() {
    prove(&Set {
        verilog: verilog(WordFifo::default),
        properties: include_str!("../formal/word_fifo.sv"),
        defines: vec![("WORDS", WORDS.to_string()), ("RESERVE", RESERVE.to_string())],
        cut: &["memory"],
        induction: 2,
        cover: 16,
        defects: &[("(|held_q) & ", ""), ("held_d = (held_q - 7'd1)", "held_d = (held_q - 7'd2)")],
    });
}

#[test]
fn arbiter_serves_each_requester_in_turn() {
    prove(&Set {
        verilog: verilog(RoundRobin::<4>::default),
        properties: include_str!("../formal/round_robin.sv"),
        defines: vec![
            ("COUNT", "4".to_string()),
            ("REQUESTS", "{request_3, request_2, request_1, request_0}".to_string()),
        ],
        cut: &[],
        induction: 2,
        cover: 8,
        defects: &[
            ("if (request_2 & (first <= 4'd2)) grant = 4'd2;", ""),
            ("if (request_1) grant = 4'd1;", "grant = 4'd1;"),
        ],
    });
}

#[test]
fn counter_loses_no_event() {
    prove(&Set {
        verilog: verilog(Counter::default),
        properties: include_str!("../formal/counter.sv"),
        defines: vec![],
        cut: &[],
        induction: 2,
        cover: 8,
        defects: &[("s1_low_d = (s1_low_q + 32'd1)", "s1_low_d = (s1_low_q + 32'd2)")],
    });
}

#[test]
fn widening_stream_is_stable_and_in_order() {
    prove(&Set {
        verilog: verilog(Resize::<1, 4>::default),
        properties: include_str!("../formal/widen.sv"),
        defines: vec![("A", "64".to_string()), ("RATIO", "4".to_string()), ("BITS", "2".to_string())],
        cut: &[],
        induction: 3,
        cover: 12,
        defects: &[("s_tready = ~m_tvalid | m_tready", "s_tready = 1'b1"), ("(held == 2'd3)", "(held == 2'd2)")],
    });
}

#[test]
fn narrowing_stream_is_stable_and_in_order() {
    prove(&Set {
        verilog: verilog(Resize::<4, 1>::default),
        properties: include_str!("../formal/narrow.sv"),
        defines: vec![("B", "64".to_string()), ("RATIO", "4".to_string()), ("BITS", "2".to_string())],
        cut: &[],
        induction: 3,
        cover: 12,
        defects: &[("(left == 3'd1)", "(left == 3'd2)"), ("end else if (m_tready) begin", "end else begin")],
    });
}

#[test]
fn read_engine_never_promises_room_twice() {
    prove(&Set {
        verilog: verilog(ReadDma::default),
        properties: include_str!("../formal/read_credits.sv"),
        defines: vec![("DEPTH", read_dma::DEPTH.to_string())],
        cut: &["planner", "queue"],
        induction: 3,
        cover: 14,
        defects: &[("room_d = (room_now - ", "room_d = (10'd1 + room_now - "), ("((~s1_valid_q) | arready)", "1'd1")],
    });
}

#[test]
fn transform_buffers_never_promise_room_twice() {
    let plan = Plan::new(Transform::Forward, 16, 64);
    let text = verilog(move || NttStream::<16>::new(&plan));
    let mask_bits = |name: &str| {
        let line = text.lines().find(|l| l.contains(&format!("{name} = 13'h"))).unwrap();
        let value = line.rsplit('h').next().unwrap().trim_end_matches(';');
        usize::from_str_radix(value, 16).unwrap().trailing_ones().to_string()
    };
    prove(&Set {
        properties: include_str!("../formal/stream_credits.sv"),
        defines: vec![
            ("IN_BITS", mask_bits("in_mask")),
            ("OUT_BITS", mask_bits("out_mask")),
            ("FRAME_BITS", mask_bits("last_of_frame")),
        ],
        cut: &["pipe", "in_memory", "out_memory"],
        induction: 3,
        cover: 28,
        defects: &[
            ("credit_d = ((credit_q - 8'd1) & credit_mask)", "credit_d = credit_q"),
            ("(start & (in_waiting_q != 8'd1))", "start"),
            ("(fetch & (out_count_q != 13'd1))", "fetch"),
            ("(beat_q == beat_before_last)", "(beat_q == last_beat)"),
            ("((~latched_q) | (~out_valid_q))", "1'd1"),
            ("(latched_q & ((~out_valid_q) | m_tready))", "latched_q"),
        ],
        verilog: text,
    });
}

/// The chip's carry cells against the behaviour that simulation runs: what the macro chooses is one function.
#[test]
fn carry_cells_of_a_butterfly_over_beats_are_its_sums() {
    prove(&Set {
        verilog: format!("{}\n{}", verilog(FeedbackSums::default), include_str!("../formal/ccu2c.v")),
        properties: include_str!("../formal/feedback_sums.sv"),
        defines: vec![("GLOVEBOX_ECP5", "1".to_string())],
        cut: &[],
        induction: 1,
        cover: 1,
        defects: &[
            (".INIT0(16'h6a0a)", ".INIT0(16'h6a02)"),
            (".INIT1(16'ha604)", ".INIT1(16'ha60c)"),
            ("difference_carry[0] = second", "difference_carry[0] = 1'b0"),
        ],
    });
}

#[test]
fn register_slave_answers_each_request_once_and_loses_no_write() {
    prove(&Set {
        verilog: verilog(AxiLiteSlave::default),
        properties: include_str!("../formal/axi_lite.sv"),
        defines: vec![],
        cut: &[],
        induction: 4,
        cover: 12,
        defects: &[
            ("((awvalid & wvalid)", "(awvalid"),
            ("(write_taken_q & (&wstrb))", "write_taken_q"),
            ("if (bready) begin", "begin"),
            (" & (~answered_q)", ""),
            ("if (s2_read_q) begin", "if (s1_read_q) begin"),
            ("offset_d = araddr", "offset_d = awaddr"),
        ],
    });
}

/// The ring pair whose registers are proved.
const RING: u32 = 2;

/// The indexes begin at `origin` when the ring is enabled: in the block as it is, at 0.
fn prove_ring(origin: u32, properties: &str, cover: usize, defects: &[(&str, &str)]) {
    let mut text = verilog(|| RingRegisters::new(RING));
    for index in ["s_tail", "s_head", "c_head", "c_tail"] {
        let zero = format!("{index}_d = 32'd0;");
        assert_eq!(text.matches(&zero).count(), 2, "{index} is cleared by enabling, then by reset");
        text = text.replacen(&zero, &format!("{index}_d = 32'd{origin};"), 1);
    }
    let named = [
        ("RING_CONTROL", registers::RING_CONTROL),
        ("SQ_LOG2", registers::SQ_LOG2),
        ("SQ_BASE", registers::SQ_BASE),
        ("SQ_TAIL", registers::SQ_TAIL),
        ("CQ_BASE", registers::CQ_BASE),
        ("CQ_LOG2", registers::CQ_LOG2),
        ("CQ_HEAD", registers::CQ_HEAD),
        ("RING_VECTOR", registers::RING_VECTOR),
    ];
    let offset = |register: registers::RingRegister| format!("16'd{}", register.of(RING).unwrap().offset.get());
    let mut defines: Vec<_> = named.map(|(name, register)| (name, offset(register))).into();
    defines.push(("ORIGIN", format!("32'd{origin}")));
    prove(&Set { verilog: text, properties, defines, cut: &[], induction: 1, cover, defects });
}

#[test]
fn ring_registers_are_exact_for_any_host() {
    prove_ring(
        0,
        concat!(include_str!("../formal/ring_host.sv"), include_str!("../formal/ring.sv")),
        14,
        &[
            ("s_head_d = (s_head_q + 32'd1)", "s_head_d = (s_head_q + 32'd2)"),
            ("(~(&s1_ahead_q))", "1'd1"),
            ("s1_ahead_d = (write_data + (~s_head_q))", "s1_ahead_d = (write_data - s_head_q)"),
            ("s1_ahead_log2_d = c_log2_q;", ""),
            ("(c_tail_q - c_head_q)", "(c_head_q - c_tail_q)"),
            ("s1_lost_d = serving;", ""),
            ("s1_stepped_d = head_step;", ""),
        ],
    );
}

/// Of a lawful host and card, from 0 on and over the end of the numbers.
const FILL: &str = concat!(include_str!("../formal/ring_host.sv"), include_str!("../formal/ring_fill.sv"));

#[test]
fn ring_is_never_overfull_nor_less_than_empty() {
    prove_ring(0, FILL, 24, &[("(s_head_q != s_tail_q)", "1'd1"), ("(c_tail_q + 32'd1)", "(c_tail_q + 32'd2)")]);
}

#[test]
fn ring_is_never_overfull_nor_less_than_empty_where_its_indexes_wrap() {
    prove_ring(u32::MAX, FILL, 24, &[]);
}
