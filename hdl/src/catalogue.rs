//! The designs that can be written as Verilog, by name and parameters.

use crate::HdlError;
use crate::bootstrap::shape::MAX_BIG_DIMENSION;
use crate::bootstrap::{BootstrapEngine, DatapathBench, Shape};
use crate::card::{GloveboxCard, RING_PAIRS};
use crate::field::{Canonical, ModAdd, ModMul, ModShift, ModSub};
use crate::ntt::{Butterflies, NttStream, Plan, Transform};
use crate::prelude::*;
use crate::verilog::generate;

/// Lanes that transforms are instanced for.
pub const LANES: [usize; 4] = [4, 8, 32, 128];
/// Ring degrees that transforms are instanced for.
pub const DEGREES: [usize; 3] = [256, 1024, 2048];
/// GLWE dimensions that engines and cards are instanced for, as far as a big ciphertext fits them.
pub const GLWE_DIMENSIONS: [usize; 3] = [1, 2, 3];

/// What a design is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Field,
    Multiplier,
    Butterflies,
    Datapath,
    Bootstrap,
    Ntt(Transform),
    Card,
}

impl Kind {
    /// Whether the design has neither lanes nor degree.
    fn is_fixed(self) -> bool {
        matches!(self, Self::Field | Self::Multiplier | Self::Butterflies | Self::Datapath)
    }

    /// Whether the design has a GLWE dimension.
    fn bootstraps(self) -> bool {
        matches!(self, Self::Bootstrap | Self::Card)
    }
}

const KINDS: [(&str, Kind); 8] = [
    ("field", Kind::Field),
    ("multiplier", Kind::Multiplier),
    ("butterflies", Kind::Butterflies),
    ("bootstrap-lanes", Kind::Datapath),
    ("bootstrap", Kind::Bootstrap),
    ("ntt-forward", Kind::Ntt(Transform::Forward)),
    ("ntt-inverse", Kind::Ntt(Transform::Inverse)),
    ("card", Kind::Card),
];

/// One design with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Design {
    /// Its name in the catalogue.
    pub name: &'static str,
    /// Its top module, which carries the parameters.
    pub top: String,
    /// Words a beat; 1 for designs that have no lanes.
    pub lanes: usize,
    /// Ring degree; 0 for designs that have none.
    pub degree: usize,
    /// GLWE dimension k; 0 for designs that have none.
    pub glwe_dimension: usize,
    kind: Kind,
}

fn listed<'a>(values: impl IntoIterator<Item = &'a usize>) -> String {
    values.into_iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn top_of(name: &str, lanes: usize, degree: usize) -> String {
    format!("glovebox_{}_l{lanes}_n{degree}", name.replace('-', "_"))
}

impl Design {
    /// The design of that name and those parameters, with k = 1; designs without lanes or degree ignore theirs.
    ///
    /// # Errors
    /// [`HdlError::UnknownDesign`], [`HdlError::Parameter`].
    pub fn new(name: &str, lanes: usize, degree: usize) -> Result<Self, HdlError> {
        let Some(&(name, kind)) = KINDS.iter().find(|k| k.0 == name) else {
            let known = KINDS.map(|k| k.0).join(", ");
            return Err(HdlError::UnknownDesign { name: name.to_string(), known });
        };
        if kind.is_fixed() {
            let top = format!("glovebox_{}", name.replace('-', "_"));
            return Ok(Self { name, top, lanes: 1, degree: 0, glwe_dimension: 0, kind });
        }
        for (parameter, value, supported) in [("lanes", lanes, &LANES[..]), ("degree", degree, &DEGREES[..])] {
            if !supported.contains(&value) {
                let supported = listed(supported);
                return Err(HdlError::Parameter { design: name.to_string(), parameter, value, supported });
            }
        }
        if kind.bootstraps() && 2 * degree / lanes < Shape::MIN_BEATS {
            let supported = listed(DEGREES.iter().filter(|&d| 2 * d / lanes >= Shape::MIN_BEATS));
            return Err(HdlError::Parameter {
                design: name.to_string(),
                parameter: "degree",
                value: degree,
                supported,
            });
        }
        let top = top_of(name, lanes, degree);
        Ok(Self { name, top, lanes, degree, glwe_dimension: kind.bootstraps().into(), kind })
    }

    /// The same design with GLWE dimension k; designs without one ignore it.
    ///
    /// # Errors
    /// [`HdlError::Parameter`] for a k that the design does not exist for at its ring degree.
    pub fn with_glwe_dimension(self, glwe_dimension: usize) -> Result<Self, HdlError> {
        if !self.kind.bootstraps() {
            return Ok(self);
        }
        let supported = GLWE_DIMENSIONS.iter().filter(|&k| k * self.degree <= MAX_BIG_DIMENSION);
        if !supported.clone().any(|&k| k == glwe_dimension) {
            let (design, value, supported) =
                (format!("{} of N = {}", self.name, self.degree), glwe_dimension, listed(supported));
            return Err(HdlError::Parameter { design, parameter: "GLWE dimension", value, supported });
        }
        let suffix = if glwe_dimension == 1 { String::new() } else { format!("_k{glwe_dimension}") };
        let top = top_of(self.name, self.lanes, self.degree) + &suffix;
        Ok(Self { top, glwe_dimension, ..self })
    }

    /// Every design with every parameter it exists for.
    pub fn all() -> Vec<Self> {
        let mut all = vec![];
        for (name, kind) in KINDS {
            if kind.is_fixed() {
                all.extend(Self::new(name, 1, 0));
                continue;
            }
            for lanes in LANES {
                for degree in DEGREES {
                    let Ok(design) = Self::new(name, lanes, degree) else { continue };
                    let dimensions = if kind.bootstraps() { &GLWE_DIMENSIONS[..] } else { &[0] };
                    all.extend(dimensions.iter().filter_map(|&k| design.clone().with_glwe_dimension(k).ok()));
                }
            }
        }
        all
    }

    /// The plan of a transform.
    pub fn plan(&self) -> Option<Plan> {
        match self.kind {
            Kind::Ntt(transform) => Some(Plan::fast(transform, self.lanes, self.degree)),
            _ => None,
        }
    }

    /// The generator values of a bootstrap engine.
    pub fn shape(&self) -> Option<Shape> {
        (self.kind == Kind::Bootstrap).then(|| Shape::new(self.lanes, self.degree, self.glwe_dimension))
    }

    /// Cycles through the design's bare pipeline, for a transform; see the blocks' `LATENCY` for the field.
    pub fn latency(&self) -> Option<usize> {
        self.plan().map(|plan| plan.latency())
    }

    /// Its Verilog.
    ///
    /// # Errors
    /// [`HdlError::Generator`] if the generator thread cannot run; [`HdlError::Kernel`] is a defect of the design.
    pub fn verilog(&self) -> Result<String, HdlError> {
        if self.kind == Kind::Card {
            return self.card();
        }
        if let Some(shape) = self.shape() {
            let comment = format!(
                "Glovebox: bootstrap engine for batches of up to {} ciphertexts, N = {}, k = {}.\n\
                 {} lanes, {} general multipliers of 64 bits; a frame of {} beats a ciphertext, step and level.\n\
                 Key beats of {} and {} words of 64 bits; synchronous reset, active high, for {} cycles.",
                shape.depth,
                shape.degree,
                shape.glwe_dimension,
                shape.lanes,
                shape.multipliers(),
                shape.beats(),
                shape.key_words,
                shape.columns,
                shape.reset_cycles()
            );
            return generate(&self.top, &comment, move || BootstrapEngine::new(&shape));
        }
        let Some(plan) = self.plan() else {
            let field = "Z_p, p = 2^64 - 2^32 + 1";
            return match self.kind {
                Kind::Multiplier => {
                    let comment = format!("Glovebox: product of two words in {field}.");
                    generate(&self.top, &comment, ModMul::default)
                }
                Kind::Butterflies => {
                    let comment = format!("Glovebox: general product and 4-point transform of four words in {field}.");
                    generate(&self.top, &comment, Butterflies::default)
                }
                Kind::Datapath => {
                    let comment = "Glovebox: lane blocks of the bootstrap side by side for tests.";
                    generate(&self.top, comment, DatapathBench::new)
                }
                _ => {
                    let comment = format!("Glovebox: arithmetic blocks in {field}, side by side for tests.");
                    generate(&self.top, &comment, FieldBench::new)
                }
            };
        };
        let what = match plan.transform {
            Transform::Forward => "forward negacyclic NTT: natural order in, bit-reversed out",
            Transform::Inverse => "inverse negacyclic NTT: bit-reversed order in, natural out, 1/N included",
        };
        let comment = format!(
            "Glovebox: {what}.\n{} words in Z_p, p = 2^64 - 2^32 + 1, {} a beat, {} beats a frame.\n\
             Pipeline of {} cycles behind an input buffer; ready/valid streams s and m; synchronous reset, active high.",
            self.degree,
            self.lanes,
            plan.beats(),
            plan.latency()
        );
        match self.lanes {
            4 => generate(&self.top, &comment, move || NttStream::<4>::new(&plan)),
            8 => generate(&self.top, &comment, move || NttStream::<8>::new(&plan)),
            32 => generate(&self.top, &comment, move || NttStream::<32>::new(&plan)),
            _ => generate(&self.top, &comment, move || NttStream::<128>::new(&plan)),
        }
    }
}

impl Design {
    fn card(&self) -> Result<String, HdlError> {
        let glwe_dimension = self.glwe_dimension;
        let of_k = if glwe_dimension == 1 { String::new() } else { format!(" of k = {glwe_dimension}") };
        let comment = format!(
            "Glovebox: the card. Bootstraps{of_k}, NTT and inverse NTT of {} words in Z_p, p = 2^64 - 2^32 + 1, {} a cycle.\n\
             s_axil: registers (AXI4-Lite, BAR0 without the MSI-X table). m_axi: host memory, m_mem: card memory (AXI4, 512 bits).\n\
             {RING_PAIRS} ring pairs; synchronous reset, active high; interrupt_request: one pulse a vector and message.\n\
             Tie build_id_0 and build_id_1 to the first 16 bytes of the SHA-256 of this file, first byte lowest, and\n\
             card_memory_beats to the 64-byte beats of card memory.",
            self.degree, self.lanes
        );
        let [forward, inverse] =
            [Transform::Forward, Transform::Inverse].map(|t| Plan::fast(t, self.lanes, self.degree));
        macro_rules! card {
            ($l:literal, $p:literal, $w:literal, $v:literal) => {
                generate(&self.top, &comment, move || {
                    GloveboxCard::<$l, RING_PAIRS, $p, $w, $v>::new(&forward, &inverse, glwe_dimension)
                })
            };
        }
        match self.lanes {
            4 => card!(4, 1, 8, 4),
            8 => card!(8, 1, 8, 4),
            32 => card!(32, 2, 16, 8),
            _ => card!(128, 16, 128, 32),
        }
    }
}

/// The exponents that the bench's shifters are built for: every rotation, and shifts at the ends of the range.
pub const BENCH_SHIFTS: [i64; 12] = [0, 1, 31, 32, 48, 63, 64, 95, 96, 127, 160, -1];

/// All arithmetic blocks on the same operands: one model to test them all.
#[derive(LogicBlock)]
pub struct FieldBench {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First operand.
    pub a: Signal<In, U<64>>,
    /// Second operand.
    pub b: Signal<In, U<64>>,
    /// Limbs for the canonical form.
    pub limb: [Signal<In, S<38>>; 3],
    /// a + b.
    pub sum: Signal<Out, U<64>>,
    /// a - b.
    pub difference: Signal<Out, U<64>>,
    /// a * b.
    pub product: Signal<Out, U<64>>,
    /// The limbs as a word.
    pub word: Signal<Out, U<64>>,
    /// a times the powers of two of [`BENCH_SHIFTS`].
    pub shifted: [Signal<Out, U<64>>; 12],
    add: ModAdd,
    sub: ModSub,
    mul: ModMul,
    canonical: Canonical,
    shift: Vec<ModShift>,
}

impl FieldBench {
    fn new() -> Self {
        Self {
            clock: Default::default(),
            a: Default::default(),
            b: Default::default(),
            limb: Default::default(),
            sum: Default::default(),
            difference: Default::default(),
            product: Default::default(),
            word: Default::default(),
            shifted: Default::default(),
            add: Default::default(),
            sub: Default::default(),
            mul: Default::default(),
            canonical: Default::default(),
            shift: BENCH_SHIFTS.iter().map(|&e| ModShift::new(e)).collect(),
        }
    }
}

impl Logic for FieldBench {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, add, sub, mul, canonical);
        self.add.a_in.next = self.a.val();
        self.add.b_in.next = self.b.val();
        self.sub.a_in.next = self.a.val();
        self.sub.b_in.next = self.b.val();
        self.mul.a_in.next = self.a.val();
        self.mul.b_in.next = self.b.val();
        for i in 0..3 {
            self.canonical.limb_in[i].next = self.limb[i].val();
        }
        for i in 0..12 {
            self.shift[i].clock.next = self.clock.val();
            self.shift[i].d.next = self.a.val();
            self.shifted[i].next = self.shift[i].q.val();
        }
        self.sum.next = self.add.sum_out.val();
        self.difference.next = self.sub.difference_out.val();
        self.product.next = self.mul.product_out.val();
        self.word.next = self.canonical.word_out.val();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalogue_unknown_names_and_parameters_are_refused_with_what_exists() {
        assert!(Design::new("nonsense", 4, 256).unwrap_err().to_string().contains("ntt-forward"));
        assert!(Design::new("ntt-forward", 5, 256).unwrap_err().to_string().contains("4, 8, 32, 128"));
        assert!(Design::new("ntt-forward", 4, 512).unwrap_err().to_string().contains("2048"));
        assert!(Design::new("bootstrap", 128, 256).unwrap_err().to_string().contains("1024, 2048"));
        assert!(Design::new("card", 128, 256).unwrap_err().to_string().contains("1024, 2048"));
        let engine = || Design::new("bootstrap", 8, 1024).unwrap();
        assert!(engine().with_glwe_dimension(3).unwrap_err().to_string().contains("1, 2"));
        assert_eq!(engine().with_glwe_dimension(1).unwrap(), engine());
        assert_eq!(engine().with_glwe_dimension(2).unwrap().top, "glovebox_bootstrap_l8_n1024_k2");
        // All lanes and degrees; k = 1, 2, 3 at N = 256, 1, 2 at 1024, 1 at 2048; but the bootstrap's shortest frame.
        assert_eq!(Design::all().len(), 4 + 2 * 4 * 3 + 2 * (4 * 6 - 3));
    }

    #[test]
    fn catalogue_verilog_is_reproducible_and_prefixed() {
        let design = Design::new("ntt-inverse", 4, 256).unwrap();
        let text = design.verilog().unwrap();
        assert_eq!(text, design.verilog().unwrap());
        let modules: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("module ")?.split(' ').next()).collect();
        assert_eq!(modules[0], design.top);
        assert!(modules.iter().all(|m| m.starts_with(&design.top)), "{modules:?}");
        assert!(!text.contains('$') || text.matches('$').count() == text.matches("$signed").count());
    }
}
