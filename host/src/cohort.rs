//! The cohort query: how many patients of a group have a measurement above a threshold?
//!
//! The server sees neither measurements, nor who belongs to the group, nor the answer; it knows the column, the
//! threshold and the number of rows.
//!
//! **Comparison.** A value comes as base-16 digits, least significant first. A look-up turns digit i into
//! `2^i * t`, t = -1, 0 or 1 for below, equal or above the threshold's digit (the lowest digit gives -1 for equal, so
//! that the comparison is strict and no sum is 0). The most significant unequal digit outweighs all lower ones, so the
//! sign of the sum answers. One more bootstrap takes that sign: the sums lie in -15 ..= 15, half the torus apart in
//! sign, and a constant table is negated by the ring exactly on the negative half. Values of more than four digits go
//! through this again, the sign of the lower digits standing in for a digit.
//!
//! **Group.** One look-up on `above + 2 * flag`.
//!
//! **Count.** Bits are added in base 4: up to five ciphertexts at a time (the set's noise bound) are summed without
//! bootstrapping, then split into digit and carry. Where the sum stays below 8, one bootstrap yields both (many-LUT).

use crate::Error;
use crate::client::ClientKey;
use crate::cpu::Luts;
use crate::engine::{Batch, Engine};
use crate::table::{EncryptedColumn, EncryptedTable};
use glovebox_golden::cipher::GlweCiphertext;
use glovebox_golden::lut::Lut;
use glovebox_golden::params::ParameterSet;

/// The most fresh bootstrap outputs that may be added before the next bootstrap: tfhe-rs's noise bound for its sets
/// with 2 message and 2 carry bits.
const MAX_NOISE_LEVEL: usize = 5;

/// Base of the count's digits.
const COUNT_BASE: u64 = 4;

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortQuery {
    /// Column of the measurement.
    pub column: String,
    /// The threshold as a decimal number; a value counts if it is strictly above.
    pub threshold: String,
    /// Column of 0 and 1 that says who belongs to the group, and the value its members have. `None`: everyone.
    pub group: Option<(String, bool)>,
}

/// An encrypted count: base-4 digits, least significant first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedCount {
    /// One ciphertext a digit, k*N + 1 words each.
    digits: Vec<Vec<u64>>,
}

impl EncryptedCount {
    /// Decrypts the count.
    ///
    /// # Errors
    /// [`Error::Golden`] if the count belongs to another key's parameters.
    pub fn decrypt(&self, key: &ClientKey) -> Result<u64, Error> {
        self.digits
            .iter()
            .rev()
            .try_fold(0, |sum, words| Ok(sum * COUNT_BASE + key.decrypt(words)?.first().copied().unwrap_or(0)))
    }

    /// Ciphertexts that travel back to the client.
    pub fn ciphertexts(&self) -> usize {
        self.digits.len()
    }
}

/// The plain answer, for comparison.
///
/// # Errors
/// [`Error::Value`] for an unknown column or threshold.
pub fn plain_count(table: &crate::table::Table, query: &CohortQuery, schema: &EncryptedTable) -> Result<u64, Error> {
    let threshold = schema.column(&query.column)?.threshold(&query.threshold)?;
    let values = |name: &str| table.columns().iter().find(|c| c.name == name).map_or(&[][..], |c| &c.scaled);
    let group = query.group.as_ref().map(|(column, member)| (values(column), u64::from(*member)));
    let is_member = |row: usize| group.is_none_or(|(flags, member)| flags.get(row) == Some(&member));
    Ok(values(&query.column).iter().enumerate().filter(|&(row, &value)| value > threshold && is_member(row)).count()
        as u64)
}

/// One bootstrap of a run, kept for an audit: what went in and what came out.
#[derive(Clone, Debug)]
pub struct AuditSample {
    /// The step it belongs to.
    pub step: &'static str,
    /// The ciphertext, k*N + 1 words.
    pub input: Vec<u64>,
    /// The look-up table, (k + 1)*N words.
    pub lut: Vec<u64>,
    /// Extracted coefficients.
    pub extract: Vec<usize>,
    /// The outputs, k*N + 1 words each.
    pub outputs: Vec<u64>,
}

/// The server's side of a query.
pub struct Server<'a> {
    engine: &'a Engine,
    set: ParameterSet,
    progress: &'a (dyn Fn(usize) + Sync),
    samples: Vec<AuditSample>,
}

/// Adds the words of `b` to `a` mod 2^64.
fn add_assign(a: &mut [u64], b: &[u64]) {
    for (x, y) in a.iter_mut().zip(b) {
        *x = x.wrapping_add(*y);
    }
}

impl<'a> Server<'a> {
    /// A server that runs on an engine, for data encoded as `set` says.
    ///
    /// # Errors
    /// [`Error::Value`] if the set has other parameters than the engine's keys, or another plaintext space than 16.
    pub fn new(engine: &'a Engine, set: ParameterSet, progress: &'a (dyn Fn(usize) + Sync)) -> Result<Self, Error> {
        if *engine.parameters() != set.bootstrap {
            return Err(Error::value("parameter set", set.name, "the engine's keys were made for other parameters"));
        }
        if set.plaintext_modulus() != 16 {
            return Err(Error::value("parameter set", set.name, "the cohort query needs 4 bits of message and carry"));
        }
        Ok(Self { engine, set, progress, samples: Vec::new() })
    }

    /// One bootstrap of every step that ran so far.
    pub fn samples(&self) -> &[AuditSample] {
        &self.samples
    }

    fn run(
        &mut self,
        step: &'static str,
        inputs: &[u64],
        luts: Luts<'_>,
        extract: &[usize],
    ) -> Result<Vec<u64>, Error> {
        let big = self.set.bootstrap.big_lwe_dimension().0 + 1;
        let outputs = self.engine.bootstrap_with_progress(&Batch { inputs, luts, extract }, self.progress)?;
        if !inputs.is_empty() && self.samples.iter().all(|s| s.step != step) {
            self.samples.push(AuditSample {
                step,
                input: inputs[..big].to_vec(),
                lut: luts.of(0, self.set.bootstrap.glwe_len()).to_vec(),
                extract: extract.to_vec(),
                outputs: outputs[..big * extract.len()].to_vec(),
            });
        }
        Ok(outputs)
    }

    /// Bootstraps that a query takes, known before it runs.
    ///
    /// # Errors
    /// [`Error::Value`] for an unknown column.
    pub fn bootstraps(&self, table: &EncryptedTable, query: &CohortQuery) -> Result<usize, Error> {
        let digits = table.column(&query.column)?.digits;
        let per_row = digits + comparison_rounds(digits).len() + usize::from(query.group.is_some());
        let count: usize = CountPlan::new(table.rows()).layers.iter().flatten().map(Group::bootstraps).sum();
        Ok(per_row * table.rows() + count)
    }

    /// Answers a query.
    ///
    /// # Errors
    /// [`Error::Value`] for an unknown column or threshold, [`Error`] if the engine fails.
    pub fn count(&mut self, table: &EncryptedTable, query: &CohortQuery) -> Result<EncryptedCount, Error> {
        if table.base() != self.set.plaintext_modulus() {
            return Err(Error::value("table", format!("base {}", table.base()), "it was encrypted for another set"));
        }
        let column = table.column(&query.column)?;
        let threshold = column.threshold(&query.threshold)?;
        let mut bits = self.above(table, column, threshold)?;
        if let Some((name, member)) = &query.group {
            let flags = table.column(name)?;
            if flags.digits != 1 {
                return Err(Error::value("group column", name, "a group column holds 0 and 1"));
            }
            bits = self.keep_members(&bits, &table.digit(flags, 0, 0..table.rows()), *member)?;
        }
        self.sum(&bits, table.rows())
    }

    /// Whether each row's value is strictly above the threshold: one ciphertext of 0 or 1 a row.
    fn above(&mut self, table: &EncryptedTable, column: &EncryptedColumn, threshold: u64) -> Result<Vec<u64>, Error> {
        let base = table.base();
        // A threshold with more digits than any value of the column: nothing is above it, digit by digit all the same.
        let top = base.checked_pow(column.digits as u32).map_or(u64::MAX, |limit| limit - 1);
        let threshold = threshold.min(top);
        let mut lower: Option<Vec<u64>> = None;
        let rounds = comparison_rounds(column.digits);
        for (number, round) in rounds.iter().enumerate() {
            let mut sums = lower.take();
            for (place, digit) in round.clone().enumerate() {
                // The sign of the lower digits, if any, has weight 1.
                let weight = 1u64 << (place + usize::from(number > 0));
                let limit = threshold / base.pow(digit as u32) % base;
                let strict = digit == 0;
                let lut = Lut::from_encoded(&self.set, |x| {
                    let sign = if x > limit {
                        1
                    } else if x < limit || strict {
                        u64::MAX
                    } else {
                        0
                    };
                    sign.wrapping_mul(weight).wrapping_mul(self.set.delta())
                })?;
                let inputs = table.digit(column, digit, 0..table.rows());
                let compared = self.run("compare digit", &inputs, Luts::One(lut.ciphertext().words()), &[0])?;
                match &mut sums {
                    None => sums = Some(compared),
                    Some(sums) => add_assign(sums, &compared),
                }
            }
            let is_last = number + 1 == rounds.len();
            // Half a step up and half a step down, then shifted to 0 and 1; or a whole step as the next round's digit.
            let scale = if is_last { self.set.delta() / 2 } else { self.set.delta() };
            let mut signs = self.run("sign", &sums.unwrap_or_default(), Luts::One(&self.constant_lut(scale)), &[0])?;
            if is_last {
                let big = self.set.bootstrap.big_lwe_dimension().0 + 1;
                signs.chunks_exact_mut(big).for_each(|c| c[big - 1] = c[big - 1].wrapping_add(scale));
            }
            lower = Some(signs);
        }
        Ok(lower.unwrap_or_default())
    }

    /// The table whose every coefficient is `value`: a bootstrap with it gives `value` times the sign of the phase.
    fn constant_lut(&self, value: u64) -> Vec<u64> {
        let p = &self.set.bootstrap;
        GlweCiphertext::trivial(p.glwe_dimension.0, &vec![value; p.ring_degree.0]).into_words()
    }

    /// Keeps the bits of members: those whose flag equals `member`.
    fn keep_members(&mut self, bits: &[u64], flags: &[u64], member: bool) -> Result<Vec<u64>, Error> {
        let mut packed: Vec<u64> = flags.iter().map(|f| f.wrapping_mul(2)).collect();
        add_assign(&mut packed, bits);
        let kept = 1 + 2 * u64::from(member);
        let lut = Lut::from_fn(&self.set, |x| u64::from(x == kept))?;
        self.run("group", &packed, Luts::One(lut.ciphertext().words()), &[0])
    }

    /// Adds ciphertexts of 0 and 1.
    fn sum(&mut self, bits: &[u64], count: usize) -> Result<EncryptedCount, Error> {
        let p = self.set.bootstrap;
        let big = p.big_lwe_dimension().0 + 1;
        let delta = self.set.delta();
        let digit = move |x: u64| (x % COUNT_BASE) * delta;
        let carry = move |x: u64| (x / COUNT_BASE) * delta;
        let both = Lut::many_encoded(&self.set, &[&digit, &carry])?;
        let both_extract = [both.extraction_index(0), both.extraction_index(1)];
        let single = [Lut::from_encoded(&self.set, digit)?, Lut::from_encoded(&self.set, carry)?];

        let plan = CountPlan::new(count);
        let mut items: Vec<Option<Vec<u64>>> = bits.chunks_exact(big).map(|c| Some(c.to_vec())).collect();
        items.resize(plan.items, None);
        for layer in &plan.layers {
            let mut sums = |group: &Group| {
                let mut sum = vec![0; big];
                for &index in &group.inputs {
                    // Each item is used once; taking it frees its memory.
                    add_assign(&mut sum, &items[index].take().unwrap_or_default());
                }
                sum
            };
            let (mut joint, mut joint_targets) = (Vec::new(), Vec::new());
            let (mut split, mut split_luts, mut split_targets) = (Vec::new(), Vec::new(), Vec::new());
            for group in layer {
                let sum = sums(group);
                match (group.is_joint(), group.carry) {
                    (true, Some(carry)) => {
                        joint.extend(sum);
                        joint_targets.extend([group.digit, carry]);
                    }
                    (_, carry) => {
                        for (target, lut) in [Some(group.digit), carry].into_iter().zip(&single) {
                            let Some(target) = target else { continue };
                            split.extend_from_slice(&sum);
                            split_luts.extend_from_slice(lut.ciphertext().words());
                            split_targets.push(target);
                        }
                    }
                }
            }
            let joint =
                self.run("add: digit and carry", &joint, Luts::One(both.ciphertext().words()), &both_extract)?;
            let split = self.run("add: digit or carry", &split, Luts::Each(&split_luts), &[0])?;
            let targets = joint_targets.into_iter().chain(split_targets);
            for (target, words) in targets.zip(joint.chunks_exact(big).chain(split.chunks_exact(big))) {
                items[target] = Some(words.to_vec());
            }
        }
        let digits = plan.result.iter().filter_map(|&index| items[index].take()).collect();
        Ok(EncryptedCount { digits })
    }
}

/// The digits that each round of a comparison takes: four in the first, three beside a sign in the others.
fn comparison_rounds(digits: usize) -> Vec<std::ops::Range<usize>> {
    let first = std::iter::once(0..digits.min(4));
    first.chain((4..digits).step_by(3).map(|start| start..digits.min(start + 3))).collect()
}

/// Ciphertexts to add, and where the digits of their sum go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    inputs: Vec<usize>,
    /// Largest value of the sum.
    max: u64,
    digit: usize,
    /// `None` where the count cannot reach the next digit.
    carry: Option<usize>,
}

impl Group {
    /// Whether one bootstrap gives both digits: it needs the top bit of the plaintext space.
    fn is_joint(&self) -> bool {
        self.max < 8 && self.carry.is_some()
    }

    fn bootstraps(&self) -> usize {
        if self.is_joint() { 1 } else { 1 + usize::from(self.carry.is_some()) }
    }
}

/// Who is added to whom, for a number of bits; the same whatever the data.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CountPlan {
    layers: Vec<Vec<Group>>,
    /// Items in all; the bits are items `0 .. count`.
    items: usize,
    /// The item of each digit of the result.
    result: Vec<usize>,
}

impl CountPlan {
    fn new(count: usize) -> Self {
        let mut columns: Vec<Vec<(usize, u64)>> = vec![(0..count).map(|index| (index, 1)).collect()];
        let mut plan = Self { layers: Vec::new(), items: count, result: Vec::new() };
        while columns.iter().any(|column| column.len() > 1 || column.iter().any(|&(_, max)| max >= COUNT_BASE)) {
            let mut layer = Vec::new();
            let mut next: Vec<Vec<(usize, u64)>> = vec![Vec::new(); columns.len() + 1];
            for (place, column) in columns.iter().enumerate() {
                let reaches_next = COUNT_BASE.checked_pow(place as u32 + 1).is_some_and(|unit| unit <= count as u64);
                let mut rest = column.as_slice();
                while !rest.is_empty() {
                    let mut taken = 0;
                    let mut max = 0;
                    while taken < rest.len().min(MAX_NOISE_LEVEL) && max + rest[taken].1 <= 15 {
                        max += rest[taken].1;
                        taken += 1;
                    }
                    let (group, tail) = rest.split_at(taken);
                    rest = tail;
                    if let [(index, max)] = *group
                        && max < COUNT_BASE
                    {
                        next[place].push((index, max)); // nothing to add it to in this layer
                        continue;
                    }
                    let digit = plan.items;
                    let carry = (reaches_next && max >= COUNT_BASE).then_some(digit + 1);
                    plan.items += 1 + usize::from(carry.is_some());
                    next[place].push((digit, max.min(COUNT_BASE - 1)));
                    if let Some(carry) = carry {
                        next[place + 1].push((carry, max / COUNT_BASE));
                    }
                    layer.push(Group { inputs: group.iter().map(|&(index, _)| index).collect(), max, digit, carry });
                }
            }
            while next.last().is_some_and(Vec::is_empty) {
                next.pop();
            }
            columns = next;
            plan.layers.push(layer);
        }
        plan.result = columns.into_iter().flatten().map(|(index, _)| index).collect();
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::table::Table;
    use glovebox_golden::params::TOY_INSECURE;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn count_plan_counts_whatever_the_bits(bits in proptest::collection::vec(0u64..2, 0..700)) {
            let plan = CountPlan::new(bits.len());
            let mut items = bits.clone();
            items.resize(plan.items, u64::MAX);
            for layer in &plan.layers {
                for group in layer {
                    prop_assert!(group.inputs.len() <= MAX_NOISE_LEVEL);
                    let sum: u64 = group.inputs.iter().map(|&i| std::mem::replace(&mut items[i], u64::MAX)).sum();
                    prop_assert!(sum <= group.max && group.max <= 15);
                    items[group.digit] = sum % COUNT_BASE;
                    match group.carry {
                        Some(carry) => items[carry] = sum / COUNT_BASE,
                        None => prop_assert!(sum < COUNT_BASE),
                    }
                }
            }
            let total = plan.result.iter().rev().fold(0, |t, &i| t * COUNT_BASE + items[i]);
            prop_assert_eq!(total, bits.iter().sum::<u64>());
        }

        #[test]
        fn comparison_rounds_cover_every_digit(digits in 1usize..20) {
            let rounds = comparison_rounds(digits);
            let covered: Vec<usize> = rounds.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..digits).collect::<Vec<_>>());
        }
    }

    /// Every comparison outcome at every digit count, on the golden model with the toy set.
    #[test]
    fn encrypted_counts_equal_plain_counts() {
        let names: Vec<String> = ["one", "two", "five", "eight", "flag"].map(String::from).into();
        let rows = "3,17,70000,4000000000,1\n9,255,1048575,4294967295,0\n9,254,65535,1,1\n15,0,65536,4000000001,1\n0,16,0,0,0\n";
        let table = Table::from_csv(rows.as_bytes(), &names).unwrap();
        let key = ClientKey::generate_insecure_from_seed(TOY_INSECURE, 11).unwrap();
        let encrypted = table.encrypt(&key).unwrap();
        let engine = Engine::open(&Device::Cpu, &key.evaluation_keys().unwrap()).unwrap();
        let mut cases = Vec::new();
        for (column, thresholds) in [
            ("one", vec!["0", "8", "9", "15", "16"]),
            ("two", vec!["0", "16", "17", "253", "254", "255", "1000000"]),
            ("five", vec!["0", "65535", "65536", "69999", "1048574", "1048575"]),
            ("eight", vec!["0", "1", "4000000000", "4294967294", "4294967295"]),
        ] {
            for threshold in thresholds {
                for group in [None, Some(("flag".to_string(), true)), Some(("flag".to_string(), false))] {
                    cases.push(CohortQuery { column: column.into(), threshold: threshold.into(), group });
                }
            }
        }
        for query in cases {
            let mut server = Server::new(&engine, TOY_INSECURE, &|_| ()).unwrap();
            let before = engine.stats().bootstraps;
            let answer = server.count(&encrypted, &query).unwrap().decrypt(&key).unwrap();
            assert_eq!(answer, plain_count(&table, &query, &encrypted).unwrap(), "{query:?}");
            let done = engine.stats().bootstraps - before;
            assert_eq!(done as usize, server.bootstraps(&encrypted, &query).unwrap(), "{query:?}");
        }
    }

    #[test]
    fn queries_that_make_no_sense_are_refused() {
        let names = ["value".to_string(), "wide".to_string()];
        let table = Table::from_csv("3,300\n".as_bytes(), &names).unwrap();
        let key = ClientKey::generate_insecure_from_seed(TOY_INSECURE, 12).unwrap();
        let encrypted = table.encrypt(&key).unwrap();
        let engine = Engine::open(&Device::Cpu, &key.evaluation_keys().unwrap()).unwrap();
        let mut server = Server::new(&engine, TOY_INSECURE, &|_| ()).unwrap();
        let query = |column: &str, threshold: &str, group: Option<&str>| CohortQuery {
            column: column.into(),
            threshold: threshold.into(),
            group: group.map(|g| (g.into(), true)),
        };
        for bad in [query("x", "1", None), query("value", "1.5", None), query("value", "1", Some("wide"))] {
            assert!(matches!(server.count(&encrypted, &bad), Err(Error::Value { .. })), "{bad:?}");
        }
        assert!(Server::new(&engine, glovebox_golden::params::CPU_KS_PBS_TUNIFORM_2M128, &|_| ()).is_err());
    }
}
